"""Read every image header and every mask once, and keep what the recipe depends on."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.decoding.file_facts import FileFacts, read_facts
from usrn_keras.data.decoding.images import ImageKindError, check_image_kind
from usrn_keras.data.decoding.mask_files import RawMask, read_raw
from usrn_keras.data.decoding.value_ranges import SAMPLED_IMAGES, add_histograms, count_image_values
from usrn_keras.data.left_out_files import name_some
from usrn_keras.data.masks import apply_threshold, check_size
from usrn_keras.errors import DataError
from usrn_keras.machine import usable_cores
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.band_proposal import Entries, describe_bands, note_mixed_bands, propose_bands
from usrn_keras.project.mask_kinds import ValueCounts, count_values
from usrn_keras.recipe.bands import parse_bands


@dataclass(frozen=True, eq=False)
class Survey:
    """Facts read from the files.

    Args:
        sizes: Height and width of each readable image, by name.
        masks: Values of each readable mask, by name.
        deep: Images of 16 bits, by name.
        value_range: Proposed value range of the images of 16 bits; None if their upper eight bits are good.
        bands: Proposed `data.bands`; empty for red, green and blue.
        assumptions: Assumptions about the images, one sentence each.
        notes: Notes about the images, one sentence each.
    """

    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    masks: dict[str, ValueCounts] = field(default_factory=dict)
    deep: dict[str, Path] = field(default_factory=dict)
    value_range: tuple[int, int] | None = None
    bands: tuple[int | str, ...] = ()
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Look:
    """What was read of an image and its mask; `kind` is what an image of another kind is."""

    name: str
    size: tuple[int, int] | None = None
    facts: FileFacts | None = None
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
    facts: dict[Path, FileFacts] = {}

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
            if found.facts:
                facts[images[found.name]] = found.facts
                if found.facts.bits == 16:
                    survey.deep[found.name] = images[found.name]
            if found.kind:
                path = images[found.name]
                other[found.kind.message.removeprefix(f"{path} is a ")].append((path, found.kind))
            task.advance()
    if entries := propose_bands(facts):
        # Only float images and the like remain: the number of bands is that of the proposal.
        other = {what: own for what, own in other.items() if not _is_readable(own[0][0], facts, entries)}
    for what, own in other.items():
        paths = [path for path, _ in own]
        subject = f"{paths[0]} is a" if len(own) == 1 else f"{len(own)} images are each a"
        which = "" if len(own) == 1 else f": {name_some(paths)}"
        errors.append(f"{subject} {what}{which}. {own[0][1].hint}")
    if entries and not errors:
        survey = replace(survey, bands=entries, assumptions=(describe_bands(facts, entries),))
    return _with_value_range(replace(survey, notes=note_mixed_bands(facts)), errors)


def _is_readable(path: Path, facts: Mapping[Path, FileFacts], entries: Entries) -> bool:
    """Whether an image is read with the proposed bands."""
    try:
        check_image_kind(path, facts[path], any_range=True, bands=parse_bands(entries))
    except ImageKindError:
        return False
    return True


def _with_value_range(survey: Survey, errors: list[str]) -> Survey:
    """Propose one value range for all images of 16 bits, from a sample of them."""
    paths = list(survey.deep.values())
    try:
        count = functools.partial(count_image_values, bands=parse_bands(survey.bands))
        total = add_histograms(map(count, paths[:: max(1, len(paths) // SAMPLED_IMAGES)]))
    except DataError as error:
        errors.append(error.message)
        return survey
    if total is None:
        return survey
    notes = survey.notes
    if others := len(survey.sizes) - len(paths):
        notes = (
            *notes,
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
    return replace(survey, value_range=found, notes=notes, assumptions=(*survey.assumptions, sentence))


def _look(name: str, image: Path, mask: Path | None, threshold: int | None) -> _Look:
    found = _Look(name)
    try:
        found.facts = read_facts(image)
        found.size = found.facts.size
        check_image_kind(image, found.facts, any_range=True)
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
