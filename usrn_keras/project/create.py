"""Create a project from folders of images and masks: recipe, lists, classes, colours, assumptions."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

import numpy as np

from usrn_keras.data import load_dataset
from usrn_keras.data.dataset import PARTS
from usrn_keras.data.formats.lists import Lists
from usrn_keras.errors import DataError, StorageError
from usrn_keras.files import staged_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.class_names import Scheme, recognise
from usrn_keras.project.class_sources import JOINED, join_classes
from usrn_keras.project.drawn_masks import DrawnMasks, draw_annotations
from usrn_keras.project.image_parts import draw_parts
from usrn_keras.project.naming_rules import absolute
from usrn_keras.project.project_request import ProjectPlan, ProjectRequest, check_request
from usrn_keras.project.project_summary import Project
from usrn_keras.project.proposal import (
    FEATURES_PER_SUBCLASS,
    GIB,
    PASSES,
    Machine,
    Proposal,
    detect_machine,
    propose,
)
from usrn_keras.project.recipe_text import backend_note, command, recipe_text
from usrn_keras.project.sources import Sources, find_sources
from usrn_keras.project.survey import Survey, survey_files
from usrn_keras.recipe import load_recipe


def all_assumptions(
    plan: ProjectPlan,
    sources: Sources,
    survey: Survey,
    scheme: Scheme,
    proposal: Proposal,
    machine: Machine,
    pixels: np.ndarray,
) -> dict[str, list[str]]:
    """Return the assumptions as sentences, by section of the recipe.

    Args:
        plan: Checked request.
        sources: Image and mask files.
        survey: Facts read from the files.
        scheme: Mapping from mask values to classes.
        proposal: Proposed recipe values.
        machine: Machine that the recipe is for.
        pixels: Labelled pixels of each class, shape `(classes,)`.
    """
    return {
        "data": _data(plan, sources, survey, scheme, pixels),
        "network": [_network(machine)],
        "subclasses": [_subclasses(proposal)],
        "views": _views(proposal),
        "training": _training(proposal, machine),
    }


def _data(
    plan: ProjectPlan, sources: Sources, survey: Survey, scheme: Scheme, pixels: np.ndarray
) -> list[str]:
    absent = ", ".join(name for name, count in zip(scheme.classes, pixels, strict=True) if not count)
    return [
        *filter(None, [sources.assumption]),
        *plan.drawn,
        *(part.assumption for part in plan.held_out if part.assumption),
        *([] if plan.threshold is None else [f"values above {plan.threshold} are the second class"]),
        *survey.assumptions,
        *scheme.assumptions,
        *([f"no labelled image shows {absent}: these classes cannot be learned"] if absent else []),
    ]


def _network(machine: Machine) -> str:
    if machine.gpu:
        return (
            "an NVIDIA GPU is present and the backend can use it (not verified); --cpu proposes settings "
            "for a CPU"
        )
    return "no NVIDIA GPU is present (no device file found); --gpu proposes settings for a GPU"


def _subclasses(proposal: Proposal) -> str:
    return (
        f"clusters of {proposal.size_factor} x the smallest class, at most {proposal.max_subclasses} per "
        f"class: {proposal.counts.sum()} subclasses, with about {FEATURES_PER_SUBCLASS} or more feature "
        "pixels (of 4 x 4 image pixels) each"
    )


def _views(proposal: Proposal) -> list[str]:
    found = [
        f"the long side of the images is about {round(proposal.long_side / proposal.scale)} pixels (median)"
    ]
    if proposal.scale < 1:
        found.append(
            f"large images are trained and evaluated at {proposal.scale} of their size; clustering extracts "
            "features at full size, which is faster with smaller files"
        )
    return found


def _training(proposal: Proposal, machine: Machine) -> list[str]:
    where = "of the GPU" if machine.gpu else "free now"
    known = "" if machine.memory_known else " (assumed, because the driver does not report it)"
    return [
        f"memory: {machine.memory / GIB:.1f} GiB {where}{known}; a step of {proposal.batch} + "
        f"{proposal.batch} images takes about {proposal.memory / GIB:.1f} GiB",
        f"steps: {PASSES} passes over the training images for USRN, "
        f"{PASSES if machine.gpu else PASSES // 2} for the Baseline, within limits",
    ]


SHOWN = 40
FEW = 5  # images
ALL_LABELLED = (
    "every training image has a mask, so there are no unlabelled images to learn from: training.method = "
    "'supervised'; --labelled 1/4 uses the masks of a quarter and treats the other images as unlabelled"
)


def create_project(folder: Path | str, request: ProjectRequest, *, progress: Progress = SILENT) -> Project:
    """Inspect images and masks, and create a project.

    Args:
        folder: Path of the new folder `NAME`; the recipe is `NAME/NAME.toml`.
        request: Options of `usrn init`.
        progress: Progress display, which counts the images read.

    Returns:
        Facts, proposed values and assumptions of the project.

    Raises:
        DataError: If folders, names, images or masks cannot be used; the error lists all problems found.
        StorageError: If the folder exists and is not empty, or cannot be written.

    Example:

    >>> create_project("my_project", ProjectRequest(Path("photos"), Path("masks")))   # doctest: +SKIP
    """
    shown_recipe = Path(folder) / f"{Path(folder).resolve().name}.toml"
    folder = Path(folder).expanduser().resolve()
    _check_unused(folder)
    with staged_path(folder) as temporary:
        drawn = draw_annotations(request, temporary, progress=progress)
        return _create(shown_recipe, folder, temporary, drawn, progress)


def _create(
    shown_recipe: Path, folder: Path, temporary: Path, drawn: DrawnMasks, progress: Progress
) -> Project:
    """Write the project to the folder `temporary`, which becomes `folder`."""
    request = drawn.request
    plan, sources, survey = _look(drawn, temporary, progress)
    scheme = recognise({name: survey.masks[name] for name in sources.masks}, plan.names, plan.ignore)
    parts = draw_parts(sources, plan.held_out, scheme.pixels, labelled=plan.labelled, seed=request.seed)
    pixels = _pixels_by_part(sources, scheme, parts)
    labelled = pixels["labelled"].sum(axis=0)
    if not labelled.any():
        raise DataError(
            "no pixel of the labelled images has a class",
            hint="Check the mask values and the option --ignore.",
        )
    machine = detect_machine(request.gpu)
    counts = {"labelled": len(parts.labelled), "unlabelled": len(parts.unlabelled)}
    proposal = propose([survey.sizes[name] for name in sources.main.images], labelled, machine, **counts)
    assumptions = all_assumptions(plan, sources, survey, scheme, proposal, machine, labelled)
    if not parts.unlabelled:
        assumptions["training"].append(ALL_LABELLED)
    written = drawn.in_project(plan)
    text = recipe_text(folder, written, sources, survey, scheme, parts, proposal, machine, assumptions)
    _write(temporary, folder.name, text, scheme, parts)
    recipe = load_recipe(str(temporary / f"{folder.name}.toml"))
    dataset = load_dataset(recipe.data)
    return Project(
        recipe=shown_recipe,
        rule=str(sources.main.rule),
        scheme=scheme,
        parts=parts,
        pixels=labelled,
        images={part: (found > 0).sum(axis=0) for part, found in pixels.items()},
        proposal=proposal,
        fingerprint=dataset.fingerprint(),
        assumptions=tuple(sentence for found in assumptions.values() for sentence in found),
        notes=(
            *sources.notes,
            *survey.notes,
            *_label_map(request),
            *_few(parts),
            *filter(None, [backend_note(machine.gpu)]),
        ),
        commands=(f"usrn data check {quote(str(shown_recipe))}", command(shown_recipe, machine.gpu)),
    )


def _look(drawn: DrawnMasks, target: Path, progress: Progress) -> tuple[ProjectPlan, Sources, Survey]:
    """Check options, names and contents of the files; each step reports all its errors at once.

    Masks of one class each are joined in the folder `masks` of the project.
    """
    errors: list[str] = []
    plan = drawn.complete(check_request(drawn.request, errors))
    _raise(errors, "the options cannot be used", "`usrn init --help` explains them.")
    joined = None if drawn.folders else join_classes(plan, target / JOINED, errors, progress=progress)
    if joined:
        plan, sources = joined
    else:
        given = {**plan.patterns, "threshold": plan.threshold}
        sources = find_sources(plan.images, plan.masks, plan.held_out, errors, **given)
    survey = survey_files(sources.images, sources.masks, errors, threshold=plan.threshold, progress=progress)
    _raise(
        errors, f"{len(errors)} error(s) in the files", "Fix or move these files, then run the command again."
    )
    return plan, sources, survey


def _raise(errors: list[str], message: str, hint: str) -> None:
    if errors:
        more = [f"and {len(errors) - SHOWN} more"] * (len(errors) > SHOWN)
        raise DataError(message, errors=errors[:SHOWN] + more, hint=hint)


def _pixels_by_part(sources: Sources, scheme: Scheme, parts: Lists) -> dict[str, np.ndarray]:
    """Count the pixels of each class in the masks of each part, shape `(images, classes)`."""
    row_of = dict(zip(sources.masks, scheme.pixels, strict=True))
    none = np.zeros((0, len(scheme.classes)), np.int64)
    return {
        part: np.array([row_of[name] for name in getattr(parts, part)], np.int64).reshape(-1, none.shape[1])
        for part in ("labelled", "val", "test")
    }


def _label_map(request: ProjectRequest) -> list[str]:
    """Point to a label map beside the masks, which is not used without --names."""
    masks = absolute(request.masks)
    found = [path for folder in (masks, masks.parent) if (path := folder / "labelmap.txt").is_file()]
    if request.names or not found:
        return []
    return [f"{found[0]} has names and colours of classes: --names {quote(str(found[0]))} uses them"]


def _few(parts: Lists) -> list[str]:
    return [
        f"{part} has only {len(names)} image(s), so its mIoU is not reliable; add masks or increase --{part}"
        for part, names in (("val", parts.val), ("test", parts.test))
        if 0 < len(names) < FEW
    ]


def _check_unused(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()) and folder != Path.cwd():
        return
    if taken := next((parent for parent in folder.parents if parent.is_file()), None):
        raise StorageError(f"{folder} cannot be written: {taken} is a file")
    if folder.exists():
        raise StorageError(
            f"{folder} exists already and is not an empty folder",
            hint="Choose another name; `usrn init` never changes existing files.",
        )


def _write(folder: Path, name: str, recipe: str, scheme: Scheme, parts: Lists) -> None:
    (folder / "lists").mkdir(parents=True, exist_ok=True)
    lists = {part: getattr(parts, part) for part in PARTS}
    texts = {
        f"{name}.toml": recipe,
        "classes.txt": _lines(scheme.classes),
        "palette.txt": _lines(f"{red} {green} {blue}" for red, green, blue in scheme.palette.tolist()),
        **{f"lists/{part}.txt": _lines(names) for part, names in lists.items() if names},
        "lists/unlabelled.txt": _lines(parts.unlabelled),
    }
    for path, text in texts.items():
        (folder / path).write_text(text, encoding="utf-8")


def _lines(entries) -> str:
    return "".join(f"{entry}\n" for entry in entries)
