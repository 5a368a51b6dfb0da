"""Read every image header and every mask once, and keep what the recipe depends on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.images import ImageKindError, check_image_kind
from usrn_keras.data.decoding.mask_files import RawMask, read_raw
from usrn_keras.data.decoding.value_ranges import SAMPLED_IMAGES, add_histograms, count_image_values
from usrn_keras.data.left_out_files import name_some
from usrn_keras.data.masks import apply_threshold, check_size
from usrn_keras.errors import DataError
from usrn_keras.machine import usable_cores
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.mask_kinds import ValueCounts, count_values


@dataclass(frozen=True, eq=False)
class Survey:
    """Facts read from the files.

    Args:
        sizes: Height and width of each readable image, by name.
        masks: Values of each readable mask, by name.
        deep: Images of 16 bits, by name.
        value_range: Proposed value range of the images of 16 bits; None if their upper eight bits are good.
        assumptions: Assumptions about the images, one sentence each.
        notes: Notes about the images, one sentence each.
    """

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    masks: dict[str, ValueCounts] = field(default_factory=dict)
    deep: dict[str, Path] = field(default_factory=dict)
    value_range: tuple[int, int] | None = None
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Look:
    """What was read of an image and its mask; `kind` is what an image of another kind is."""

    name: str
    size: tuple[int, int] | None = None
    deep: bool = False
    kind: ImageKindError | None = None
    values: ValueCounts | None = None
    errors: list[str] = field(default_factory=list)


def survey_files(
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    errors: list[str],
    *,
    threshold: int | None = None,
    progress: Progress = SILENT,
) -> Survey:
    """Read all files in parallel; unreadable or mismatched files are added to `errors`.

    Args:
        images: Image file of each name.
        masks: Mask file of each name that has a mask.
        errors: List to which errors are added.
        threshold: Threshold of masks of two classes; None for other masks.
        progress: Progress display, which counts images.
    """
    survey = Survey()
    other: dict[str, list[tuple[Path, ImageKindError]]] = defaultdict(list)

    def look(name: str) -> _Look:
        return _look(name, images[name], masks.get(name), threshold)

    workers = min(16, usable_cores())
    with progress.task("reading images and masks", total=len(images)) as task:
        for found in ordered_map(look, images, workers=workers, ahead=4 * workers):
            errors += found.errors
            if found.size:
                survey.sizes[found.name] = found.size
            if found.values:
                survey.masks[found.name] = found.values
            if found.deep:
                survey.deep[found.name] = images[found.name]
            if found.kind:
                path = images[found.name]
                other[found.kind.message.removeprefix(f"{path} is a ")].append((path, found.kind))
            task.advance()
    for what, own in other.items():
        paths = [path for path, _ in own]
        subject = f"{paths[0]} is a" if len(own) == 1 else f"{len(own)} images are each a"
        which = "" if len(own) == 1 else f": {name_some(paths)}"
        errors.append(f"{subject} {what}{which}. {own[0][1].hint}")
    return _with_value_range(survey, errors)


def _with_value_range(survey: Survey, errors: list[str]) -> Survey:
    """Propose one value range for all images of 16 bits, from a sample of them."""
    paths = list(survey.deep.values())
    try:
        total = add_histograms(map(count_image_values, paths[:: max(1, len(paths) // SAMPLED_IMAGES)]))
    except DataError as error:
        errors.append(error.message)
        return survey
    if total is None:
        return survey
    notes = ()
    if others := len(survey.sizes) - len(paths):
        notes = (
            f"{len(paths)} image(s) have 16 bits and {others} have 8: check with `usrn data show` that both "
            "are equally bright",
        )
    found = total.propose()
    if found is None:
        return replace(survey, notes=notes)
    low, high = total.extremes
    sentence = (
        f"{len(paths)} image(s) have 16 bits and values from {low} to {high}: data.value_range = "
        f"[{found[0]}, {found[1]}] becomes black to white, in all of them; their upper eight bits alone hold "
        f"{total.levels} grey level(s)"
    )
    return replace(survey, value_range=found, notes=notes, assumptions=(sentence,))


def _look(name: str, image: Path, mask: Path | None, threshold: int | None) -> _Look:
    found = _Look(name)
    try:
        facts = read_facts(image)
        check_image_kind(image, facts, any_range=True)
        found.size, found.deep = facts.size, facts.bits == 16
    except ImageKindError as error:
        found.kind = error
    except DataError as error:
        found.errors.append(f"{error.message}. {error.hint}" if "Convert" in error.hint else error.message)
    if mask is None:
        return found
    try:
        raw = read_raw(mask, lossy=threshold is not None)
        if threshold is not None:
            raw = RawMask(apply_threshold(mask, raw, threshold), None, "L")
        found.values = count_values(raw)
        if found.size:
            check_size(image, found.size, mask, found.values.size)
    except DataError as error:
        found.errors.append(f"{error.message}. {error.hint}" if "EXIF" in error.hint else error.message)
    return found
