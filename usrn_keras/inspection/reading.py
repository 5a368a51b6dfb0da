"""Read one image and its mask, and keep only size, hash, class counts and findings."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Dataset, Sample, read_mask, read_sample_image
from usrn_keras.data.decoding.decoder_messages import collected_notes
from usrn_keras.data.decoding.file_facts import FileFacts, read_facts
from usrn_keras.data.decoding.mask_files import RawMask, read_raw
from usrn_keras.data.masks import MaskRules, Rules
from usrn_keras.errors import DataError
from usrn_keras.inspection.data_findings import (
    ALL_IGNORED,
    FILE_WARNING,
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
from usrn_keras.memory_errors import ran_out_of_memory

CHECK_HINT = "`usrn data check` lists all such masks."


@dataclass
class Reading:
    """Facts about an image and its mask.

    Args:
        split: Split of the sample: `labelled`, `unlabelled`, `val` or `test`.
        sample: Image and mask that were read.
        size: Height and width of the image in pixels; None if it cannot be read.
        digest: Hash of the decoded pixels; None if the image cannot be read.
        pixels: Mask pixels of each class, ignored pixels last, int64 of shape `(classes + 1,)`; None
            without a mask, or if its values are not classes.
        findings: Findings about the two files.
        deep: Whether the image has 16 bits and no value range.
    """

    split: str
    sample: Sample
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    pixels: np.ndarray | None = None
    findings: list[DataFinding] = field(default_factory=list)
    deep: bool = False

    def add(self, kind: Kind, message: str, advice: str, *files: Path) -> None:
        """Add a finding."""
        self.findings.append(DataFinding(kind, message, advice, files))


def read_entry(split: str, sample: Sample, dataset: Dataset) -> Reading:
    """Read an image, and its mask unless the sample is unlabelled; every error becomes a finding."""
    reading = Reading(split, sample)
    with collected_notes() as notes:
        image = _attempt(lambda path: read_sample_image(sample), sample.image, UNREADABLE_IMAGE, reading)
    if image is not None:
        reading.size = image.shape[:2]
        reading.digest = _digest(image)
        facts = _add_warnings(reading, sample.image, notes)
        reading.deep = facts.bits == 16 and sample.value_range is None
    del image  # free its memory before the mask is read
    if sample.mask is not None and split != "unlabelled":
        with collected_notes() as notes:
            _read_mask(reading, dataset, notes)
    return reading


def _add_warnings(reading: Reading, path: Path, notes: list[str]) -> FileFacts:
    facts = read_facts(path)
    for warning in dict.fromkeys([*facts.warnings, *notes]):
        reading.add(FILE_WARNING, f"{path}: {warning}", "", path)
    return facts


def _digest(image: np.ndarray) -> bytes:
    """Hash the decoded pixels, which finds copies in other lossless formats."""
    digest = hashlib.sha256(repr(image.shape).encode())
    digest.update(np.ascontiguousarray(image))
    return digest.digest()


def _attempt(read: Callable[[Path], Any], path: Path, kind: Kind, reading: Reading) -> Any:
    """Return `read(path)`; on an error add a finding and return None."""
    try:
        return read(path)
    except DataError as error:
        reading.add(kind, error.message, error.hint, path)
    except Exception as error:  # one bad file must not stop the reading of the others
        if ran_out_of_memory(error):  # the file is not bad
            raise
        message = f"{path} cannot be read: {type(error).__name__}: {error}"
        reading.add(kind, message, "Copy the file again, or remove it from the lists.", path)
    return None


def _read_mask(reading: Reading, dataset: Dataset, notes: list[str]) -> None:
    # Missing classes are already reported; without them every id would be out of range.
    rules = dataset if dataset.num_classes else Rules()
    path = reading.sample.mask
    raw = None
    try:
        ids = read_mask(path, rules)
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        read = functools.partial(read_raw, lossy=rules.mask_threshold is not None)
        raw = _attempt(read, path, UNREADABLE_MASK, reading)
        if raw is None:
            return
        message = error.message if isinstance(error, DataError) else f"{path}: {error}"
        reading.add(MASK_VALUES, message, _advice(error, raw, rules), path)
        ids = None
    _add_warnings(reading, path, notes)
    _check_size(reading, (ids if raw is None else raw.values).shape[:2])
    if ids is not None:
        reading.pixels = _count(ids, dataset)
        _check_ids(reading, ids, dataset)


def _advice(error: Exception, raw: RawMask, rules: MaskRules) -> str:
    """Explain the values and what is allowed, without the hint to run `usrn data check`."""
    hint = error.hint.replace(CHECK_HINT, "") if isinstance(error, DataError) else ""
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
            "It can be used neither for training nor for evaluation: label it, or remove it from the lists "
            "(without its mask the image can be used as unlabelled).",
            path,
        )
    share = between_share(ids)
    if share > BETWEEN_AT_MOST:
        reading.add(
            SUSPICIOUS_MASK,
            f"{path}: {share:.0%} of the borders have an id between those of both sides "
            f"(expected: below {BETWEEN_AT_MOST:.0%})",
            "The mask was smoothed or resized with interpolation, which creates wrong classes at borders: "
            "create it again from the annotation, with nearest-neighbour resizing.",
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
        "EXIF rotates only one of the two: rotate the mask as the image is shown, and remove its EXIF tag."
        if turned
        else "A mask must have exactly the width and height of its image.",
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
            "The image is rotated by its EXIF tag when it is read. Check with `usrn data show` that the mask "
            "matches it.",
            image,
            mask,
        )
