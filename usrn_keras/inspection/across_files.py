"""Findings that involve several files: duplicates, names, masks without image, absent classes, sizes."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.decoding.value_ranges import SAMPLED_IMAGES, add_histograms, count_image_values
from usrn_keras.inspection.data_findings import (
    CASE_COLLISION,
    CLASS_NOT_LABELLED,
    CLASS_NOT_MEASURED,
    DARK_IMAGES,
    DUPLICATE_ACROSS,
    DUPLICATE_WITHIN,
    MIXED_SIZES,
    SMALL_IMAGE,
    SUSPICIOUS_MASK,
    DataFinding,
)
from usrn_keras.inspection.reading import Reading
from usrn_keras.recipe.schema import ViewsSection

TRAINING = ("labelled", "unlabelled")


def find_across(readings: Sequence[Reading], dataset: Dataset, views: ViewsSection) -> list[DataFinding]:
    """Return all findings that involve more than one file."""
    return [
        *duplicates(readings),
        *case_collisions(readings),
        *absent_classes(readings, dataset),
        *black_and_white(readings, dataset),
        *small_images(readings, views),
        *mixed_sizes(readings, views),
        *dark_images(readings),
    ]


def duplicates(readings: Iterable[Reading]) -> list[DataFinding]:
    """Find images with equal pixels: an error if only one of them is in a training split, otherwise a note.

    A file that is in two lists, as for the Oracle, is not a duplicate.
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
        "Keep it in one split: scores on val or test are too high for images that were trained on."
        if across
        else "Each copy is counted; remove all but one unless that is intended.",
        tuple(reading.sample.image for reading in same),
    )


def case_collisions(readings: Iterable[Reading]) -> list[DataFinding]:
    """Find names such as `A` and `a`, which are the same file on case-insensitive file systems."""
    by_folded: dict[str, dict[str, Reading]] = defaultdict(dict)
    for reading in readings:
        folded = unicodedata.normalize("NFC", reading.sample.name).casefold()
        by_folded[folded][reading.sample.name] = reading
    return [
        DataFinding(
            CASE_COLLISION,
            " and ".join(str(reading.sample.image) for reading in same.values()),
            "On Windows and macOS they and their masks are the same file: rename all but one.",
            tuple(reading.sample.image for reading in same.values()),
        )
        for same in by_folded.values()
        if len(same) > 1
    ]


def absent_classes(readings: Sequence[Reading], dataset: Dataset) -> list[DataFinding]:
    """Find classes without a pixel: an error in the labelled masks, a note in the val and test masks."""
    advice = (
        "Label images that show it, draw another split (`usrn split --cover-classes`), or remove the class."
    )
    measured = "Its IoU is undefined there and is excluded from the mean; add an image that shows it."
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
    """Find masks with only two values, 0 and the ignored value, which was probably meant as a class."""
    counted = [reading for reading in readings if reading.pixels is not None]
    if not counted or dataset.num_classes < 2 or dataset.colour_map is not None or dataset.id_map is not None:
        return []
    total = np.sum([reading.pixels for reading in counted], axis=0)
    if not (total[0] and total[-1]) or total[1:-1].any():
        return []
    return [
        DataFinding(
            SUSPICIOUS_MASK,
            f"all {len(counted)} masks contain only 0 ({dataset.classes[0]}) and "
            f"{dataset.ignore_index} (ignored)",
            f"If {dataset.ignore_index} is meant as {dataset.classes[1]}, set data.mask_ids = "
            f"[0, {dataset.ignore_index}] and data.ignore_index = -1.",
            tuple(reading.sample.mask for reading in counted),
        )
    ]


def small_images(readings: Iterable[Reading], views: ViewsSection) -> list[DataFinding]:
    """Find training images whose long side is less than half the crop."""
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
                    f"Lower views.crop_size and views.long_side ({views.long_side}), or remove the images.",
                    (reading.sample.image,),
                )
            )
    return found


def mixed_sizes(readings: Iterable[Reading], views: ViewsSection) -> list[DataFinding]:
    """Return one note if images differ in size."""
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
            "evaluation uses every image at its own size.",
        )
    ]


def dark_images(readings: Iterable[Reading]) -> list[DataFinding]:
    """Return one note if 16-bit images without a value range use a small part of their values."""
    deep = [reading for reading in readings if reading.deep]
    sample = deep[:: max(1, len(deep) // SAMPLED_IMAGES)]
    total = add_histograms(count_image_values(one.sample.image, one.sample.bands) for one in sample)
    found = total.propose() if total is not None else None
    if found is None:
        return []
    low, high = total.extremes
    return [
        DataFinding(
            DARK_IMAGES,
            f"{len(deep)} images have 16 bits and values from {low} to {high}: their upper eight bits, which "
            f"are read, hold {total.levels} grey level(s)",
            f"Set data.value_range = [{found[0]}, {found[1]}]: these values become black and white.",
            tuple(reading.sample.image for reading in deep),
        )
    ]


def _shown(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
