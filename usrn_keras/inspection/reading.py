"""Reading one image and its mask, and keeping only what is small: size, hash, counts, findings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Dataset, Sample, read_image, read_mask
from usrn_keras.data.mask_files import RawMask, read_raw
from usrn_keras.data.masks import MaskRules, Rules
from usrn_keras.errors import DataError
from usrn_keras.inspection.data_findings import (
    ALL_IGNORED,
    MASK_VALUES,
    ORIENTATION,
    SIZE_MISMATCH,
    SUSPICIOUS_MASK,
    UNREADABLE_IMAGE,
    UNREADABLE_MASK,
    DataFinding,
    Kind,
)
from usrn_keras.inspection.suspicious_masks import (
    BETWEEN_AT_MOST,
    between_share,
    explain_values,
    perhaps_turned_apart,
    turned_apart,
)

LEADS_HERE = "`usrn data check` lists all such masks."


@dataclass
class Reading:
    """What stays of a sample once it was read.

    Args:
        split: `labelled`, `unlabelled`, `val` or `test`.
        sample: What was read.
        size: Height and width of the image in pixels; None where it cannot be read.
        digest: Hash of its decoded pixels; None where it cannot be read.
        pixels: `(classes + 1,)` int64, mask pixels of each class, the ignored ones last; None without a
            mask that is read, or where its values are no classes.
        findings: What is wrong with the two files.
    """

    split: str
    sample: Sample
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    pixels: np.ndarray | None = None
    findings: list[DataFinding] = field(default_factory=list)

    def add(self, kind: Kind, message: str, advice: str, *files: Path) -> None:
        """Add a finding."""
        self.findings.append(DataFinding(kind, message, advice, files))


def read_entry(split: str, sample: Sample, dataset: Dataset) -> Reading:
    """Read an image, and its mask unless the sample is unlabelled. Never raises: all is a finding."""
    reading = Reading(split, sample)
    image = _attempt(read_image, sample.image, UNREADABLE_IMAGE, reading)
    if image is not None:
        reading.size = image.shape[:2]
        reading.digest = _digest(image)
    del image  # not in memory together with the mask
    if sample.mask is not None and split != "unlabelled":
        _read_mask(reading, dataset)
    return reading


def _digest(image: np.ndarray) -> bytes:
    """A hash of the decoded pixels, so that a copy is found that was saved anew without loss."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image))
    return digest.digest()


def _attempt(read: Callable[[Path], Any], path: Path, kind: Kind, reading: Reading) -> Any:
    """`read(path)`, or None and a finding."""
    try:
        return read(path)
    except DataError as error:
        reading.add(kind, error.message, error.hint, path)
    except Exception as error:  # one bad file must not stop the reading of the others
        message = f"{path} cannot be read: {type(error).__name__}: {error}"
        reading.add(kind, message, "Copy the file again or take it out of the lists.", path)
    return None


def _read_mask(reading: Reading, dataset: Dataset) -> None:
    # Without classes, which is a fault already, every id would be one too many.
    rules = dataset if dataset.num_classes else Rules()
    path = reading.sample.mask
    raw = None
    try:
        ids = read_mask(path, rules)
    except Exception as error:
        raw = _attempt(read_raw, path, UNREADABLE_MASK, reading)
        if raw is None:
            return
        message = error.message if isinstance(error, DataError) else f"{path}: {error}"
        reading.add(MASK_VALUES, message, _advice(error, raw, rules), path)
        ids = None
    _check_size(reading, (ids if raw is None else raw.values).shape[:2])
    if ids is not None:
        reading.pixels = _count(ids, dataset)
        _check_ids(reading, ids, dataset)


def _advice(error: Exception, raw: RawMask, rules: MaskRules) -> str:
    """Where the values come from, and what is allowed; without what leads to here."""
    hint = error.hint.replace(LEADS_HERE, "") if isinstance(error, DataError) else ""
    return " ".join(filter(None, [explain_values(raw, rules), hint.strip()]))


def _count(ids: np.ndarray, dataset: Dataset) -> np.ndarray:
    counts = np.bincount(ids.ravel(), minlength=max(dataset.num_classes, dataset.ignore_index + 1))
    ignored = counts[dataset.ignore_index] if dataset.ignore_index >= 0 else 0
    return np.append(counts[: dataset.num_classes], ignored)


def _check_ids(reading: Reading, ids: np.ndarray, dataset: Dataset) -> None:
    path = reading.sample.mask
    if (ids == dataset.ignore_index).all():
        reading.add(
            ALL_IGNORED,
            f"{path}: all {ids.size} pixels are ignored (value {dataset.ignore_index})",
            "Nothing can be learned or measured on it: label it, or take it out of the lists "
            "(without its mask an image can be unlabelled).",
            path,
        )
    share = between_share(ids)
    if share > BETWEEN_AT_MOST:
        reading.add(
            SUSPICIOUS_MASK,
            f"{path}: {share:.0%} of the borders pass through an id between those of both sides "
            f"(sound masks: below {BETWEEN_AT_MOST:.0%})",
            "The mask was smoothed or resized with interpolation, which makes up classes at borders: "
            "make it anew from the annotation, resized by the nearest pixel.",
            path,
        )


def _check_size(reading: Reading, mask_size: tuple[int, int]) -> None:
    image, mask = reading.sample.image, reading.sample.mask
    if reading.size is None:
        return
    if reading.size == mask_size:
        _check_orientation(reading)
        return
    (height, width), (mask_height, mask_width) = reading.size, mask_size
    turned = turned_apart(image, mask) if mask_size == (width, height) else ""
    reading.add(
        SIZE_MISMATCH,
        f"{mask} is {mask_width}x{mask_height} pixels, its image {image} is {width}x{height}"
        + f" ({turned})" * bool(turned),
        "EXIF turns one of the two and not the other: turn the mask as the image is shown, without EXIF."
        if turned
        else "A mask needs exactly the width and height of its image.",
        image,
        mask,
    )


def _check_orientation(reading: Reading) -> None:
    image, mask = reading.sample.image, reading.sample.mask
    turned = perhaps_turned_apart(image, mask, reading.size)
    if turned:
        reading.add(
            ORIENTATION,
            f"{image} and {mask} ({turned})",
            "The image is turned as EXIF asks when it is read. Look whether the mask lies on it: "
            "usrn data show.",
            image,
            mask,
        )
