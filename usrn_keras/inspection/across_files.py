"""What only several files together show: copies, names, masks without image, absent classes, sizes."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.formats.folder import index_folder
from usrn_keras.inspection.data_findings import (
    CASE_COLLISION,
    CLASS_NOT_LABELLED,
    CLASS_NOT_MEASURED,
    DUPLICATE_ACROSS,
    DUPLICATE_WITHIN,
    MASK_WITHOUT_IMAGE,
    MIXED_SIZES,
    SMALL_IMAGE,
    SUSPICIOUS_MASK,
    DataFinding,
)
from usrn_keras.inspection.reading import Reading
from usrn_keras.recipe.schema import Data, Views


def masks_without_image(data: Data) -> list[DataFinding]:
    """A note for each, of a folder data set; in the others a mask is looked for by the name of its image."""
    if data.dataset != "folder":
        return []
    files = index_folder(Path(data.root).expanduser(), data, ErrorList())  # its faults are known already
    return [
        DataFinding(
            MASK_WITHOUT_IMAGE,
            f"{files.masks[name]}: no image is called {name}",
            "An image without a mask of its name is unlabelled: rename one of the two, or remove the mask.",
            (files.masks[name],),
        )
        for name in sorted(files.masks.keys() - files.images.keys())
    ]


TRAINING = ("labelled", "unlabelled")


def find_across(readings: Sequence[Reading], dataset: Dataset, views: Views) -> list[DataFinding]:
    """Every finding that takes more than one file."""
    return [
        *duplicates(readings),
        *case_collisions(readings),
        *absent_classes(readings, dataset),
        *black_and_white(readings, dataset),
        *small_images(readings, views),
        *mixed_sizes(readings, views),
    ]


def duplicates(readings: Iterable[Reading]) -> list[DataFinding]:
    """Images of equal pixels: a fault where one is measured on and the other trained on, else a note.

    A file that stands in two lists, as the Oracle's do, is no copy.
    """
    by_digest: dict[bytes, list[Reading]] = defaultdict(list)
    for reading in readings:
        if reading.digest is not None:
            by_digest[reading.digest].append(reading)
    return [_duplicate(same) for same in by_digest.values() if len({one.sample.image for one in same}) > 1]


def _duplicate(same: list[Reading]) -> DataFinding:
    splits = {reading.split for reading in same}
    across = len(splits) > 1 and not splits <= set(TRAINING)
    named = [f"{reading.split}: {reading.sample.image}" for reading in same]
    return DataFinding(
        DUPLICATE_ACROSS if across else DUPLICATE_WITHIN,
        " = ".join(named),
        "Keep it in one split: figures on val or test are too good for what was trained on."
        if across
        else "Each copy counts again; remove all but one unless that is wanted.",
        tuple(reading.sample.image for reading in same),
    )


def case_collisions(readings: Iterable[Reading]) -> list[DataFinding]:
    """Names such as `A` and `a`: two files here, one file where case does not count."""
    by_folded: dict[str, dict[str, Reading]] = defaultdict(dict)
    for reading in readings:
        folded = unicodedata.normalize("NFC", reading.sample.name).casefold()
        by_folded[folded][reading.sample.name] = reading
    return [
        DataFinding(
            CASE_COLLISION,
            " and ".join(str(reading.sample.image) for reading in same.values()),
            "On Windows and macOS they and their masks are one file: rename all but one.",
            tuple(reading.sample.image for reading in same.values()),
        )
        for same in by_folded.values()
        if len(same) > 1
    ]


def absent_classes(readings: Sequence[Reading], dataset: Dataset) -> list[DataFinding]:
    """Classes without a pixel: in the labelled masks a fault, in those to measure on a note."""
    advice = "Label images that show it, choose labelled images that do (usrn split), or remove the class."
    measured = "Its IoU is not defined there and is left out of the mean; add an image that shows it."
    found = _absent("labelled", readings, dataset, CLASS_NOT_LABELLED, advice)
    for split in ("val", "test"):
        found += _absent(split, readings, dataset, CLASS_NOT_MEASURED, measured)
    return found


def _absent(split, readings, dataset, kind, advice) -> list[DataFinding]:
    own = [reading for reading in readings if reading.split == split]
    counted = [reading.pixels for reading in own if reading.pixels is not None]
    if not counted:
        return []
    total = np.sum(counted, axis=0)
    n, unread = len(counted), len(own) - len(counted)
    where = f"no pixel in {n} {split} mask{'s' * (n != 1)}"
    where += f" ({unread} more cannot be counted)" if unread else ""
    absent = [f"{name} (id {i})" for i, name in enumerate(dataset.classes) if total[i] == 0]
    return [DataFinding(kind, f"{name}: {where}", advice) for name in absent]


def black_and_white(readings: Sequence[Reading], dataset: Dataset) -> list[DataFinding]:
    """Masks that are all black and white: white was to be a class, and is what is ignored."""
    counted = [reading for reading in readings if reading.pixels is not None]
    if not counted or dataset.num_classes < 2 or dataset.colour_map is not None or dataset.id_map is not None:
        return []
    total = np.sum([reading.pixels for reading in counted], axis=0)
    if not (total[0] and total[-1]) or total[1:-1].any():
        return []
    return [
        DataFinding(
            SUSPICIOUS_MASK,
            f"all {len(counted)} masks hold nothing but 0 ({dataset.classes[0]}) and "
            f"{dataset.ignore_index} (ignored)",
            f"If {dataset.ignore_index} is meant as {dataset.classes[1]}, set data.mask_ids = "
            f"[0, {dataset.ignore_index}] and data.ignore_index = -1.",
            tuple(reading.sample.mask for reading in counted),
        )
    ]


def small_images(readings: Iterable[Reading], views: Views) -> list[DataFinding]:
    """Training images whose long side is less than half the crop."""
    found = []
    for reading in readings:
        if reading.split in TRAINING and reading.size and 2 * max(reading.size) < views.crop_size:
            height, width = reading.size
            factor = views.long_side / max(reading.size)
            found.append(
                DataFinding(
                    SMALL_IMAGE,
                    f"{reading.sample.image} is {width}x{height} pixels, the crop "
                    f"{views.crop_size}x{views.crop_size}: enlarged {factor:.1f} times at scale 1",
                    f"Lower views.crop_size and views.long_side ({views.long_side}), or leave them out.",
                    (reading.sample.image,),
                )
            )
    return found


def mixed_sizes(readings: Iterable[Reading], views: Views) -> list[DataFinding]:
    """One note if images differ in size."""
    sizes = Counter(reading.size for reading in readings if reading.size)
    if len(sizes) < 2:
        return []
    smallest, largest = (
        _shown(pick(sizes, key=lambda size: (size[0] * size[1], size))) for pick in (min, max)
    )
    common, count = sizes.most_common(1)[0]
    return [
        DataFinding(
            MIXED_SIZES,
            f"{len(sizes)} sizes from {smallest} to {largest}, most often {_shown(common)} "
            f"({count} of {sizes.total()} images)",
            f"Training scales the long side to about views.long_side ({views.long_side}); "
            "evaluation takes every image as it is.",
        )
    ]


def _shown(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
