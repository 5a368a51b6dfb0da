"""Sources of a project whose masks are one file per class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.left_out_files import find_unread, name_some
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.data.name_pattern import Pattern
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.class_files import BACKGROUND, ClassFiles, find_class_files, join_class_files
from usrn_keras.project.class_names import Named
from usrn_keras.project.naming_rules import Rule, list_files
from usrn_keras.project.pairing import Pairing
from usrn_keras.project.project_request import ProjectPlan
from usrn_keras.project.sources import Sources

JOINED = "masks"  # folder of the project


def join_classes(
    plan: ProjectPlan, target: Path, errors: list[str], *, progress: Progress = SILENT
) -> tuple[ProjectPlan, Sources] | None:
    """Join masks of one class each to one mask per image, if the masks are of this kind.

    Args:
        plan: Checked request.
        target: Folder of the new masks.
        errors: Receives the errors.
        progress: Progress display, which counts images.

    Returns:
        The plan with the new masks and their classes, and the sources; None for other masks, or if patterns
        are given.

    Raises:
        DataError: The names of the masks do not say which image or class they belong to.
    """
    if any(plan.patterns.values()):
        return None
    image_files = list_files(plan.images, IMAGE_SUFFIXES, without=[plan.masks] * (plan.images != plan.masks))
    mask_files = list_files(plan.masks, MASK_SUFFIXES, without=[plan.images] * (plan.images != plan.masks))
    found = find_class_files(image_files, mask_files)
    if found is None:
        return None
    used = {path for files in found.masks.values() for path in files.values()}
    image_files = [file for file in image_files if file.path not in used]
    if any(part.images for part in plan.held_out):
        errors.append(
            "separate folders of val or test images are not allowed with masks of one class each; use "
            "shares, such as --val 0.2"
        )
    found = _in_order(found, plan.names, errors)
    images = {Pattern().find(file.folder, file.stem): file.path for file in image_files}
    masks, overlap = join_class_files(found, images, target, errors, progress=progress)
    classes = (BACKGROUND, *found.classes)
    pairing = Pairing(Rule(), images, masks, orphans=(), left_out=(), unused=found.others)
    files = sum(map(len, found.masks.values()))
    sources = Sources(
        pairing,
        notes=(*map(str, find_unread([plan.images, plan.masks])), *_notes(found, overlap)),
        assumption=f"{files} black-and-white masks of one class each, named {found.where}, are joined to "
        f"{len(masks)} masks in the project's folder {JOINED}/ with the classes {', '.join(classes)}; images "
        "without a mask are unlabelled",
    )
    names = tuple(Named(name, class_id) for class_id, name in enumerate(classes))
    return replace(plan, masks=Path(JOINED), names=names), sources


def _in_order(found: ClassFiles, names: Sequence[Named], errors: list[str]) -> ClassFiles:
    """Put the classes in the order of --names, if it is given."""
    given = tuple(named.name for named in names if named.name != BACKGROUND)
    if not given:
        return found
    if missing := [name for name in found.classes if name not in given]:
        errors.append(
            f"--names does not list {', '.join(missing)}, the classes in the names of the masks: "
            f"{', '.join(found.classes)}"
        )
        return found
    return replace(found, classes=given)


def _notes(found: ClassFiles, overlap: str) -> list[str]:
    notes = [overlap] * bool(overlap)
    if found.others:
        notes.append(
            f"{len(found.others)} mask(s) belong to no image by their name and are not used: "
            f"{name_some(found.others)}"
        )
    return notes
