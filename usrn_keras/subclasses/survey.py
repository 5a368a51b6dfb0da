"""What the masks of the labelled images say before any feature is computed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.data.batches.padding import padded_size
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.cells import choose_cells


@dataclass(frozen=True, eq=False)
class Survey:
    """Numbers of pixels, by image, in the order in which features are stored.

    Images of equal padded size follow each other, so that they share batches.

    Attributes:
        samples: N images with masks.
        sizes: N times height and width in pixels.
        pixels: `(N, C)` int64, labelled pixels of each class.
        rows: `(N, C + 1)` int64, feature pixels kept of each class, and of ignored ones.
        complete: `(N,)` bool, whether all feature pixels with a class are kept.
        digest: Hash of names and masks.
    """

    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    pixels: np.ndarray
    rows: np.ndarray
    complete: np.ndarray
    digest: str


def survey_masks(
    dataset: Dataset, *, limit: int, seed: int, workers: int = 2, progress: Progress = SILENT
) -> Survey:
    """Read every mask once; only numbers are kept in memory.

    Args:
        dataset: Its labelled images.
        limit: Most feature pixels of one class kept of an image; 0 for all.
        seed: Of the choice of these.
        workers: Threads that read.
        progress: Counts masks.
    """
    classes = len(dataset.classes)

    def survey(sample: Sample) -> tuple:
        mask = read_mask(sample.mask, dataset)
        cells = choose_cells(mask, classes, name=sample.name, limit=limit, seed=seed)
        content = hashlib.sha256(f"{sample.name} {mask.dtype} {mask.shape}".encode())
        content.update(np.ascontiguousarray(mask))
        return mask.shape, class_pixels([mask], classes), cells.counts, cells.complete, content.digest()

    found = []
    with progress.task("reading masks", total=len(dataset.labelled)) as task:
        for facts in ordered_map(survey, dataset.labelled, workers=workers, ahead=2 * workers):
            found.append(facts)
            task.advance()
    order = sorted(range(len(found)), key=lambda index: padded_size(found[index][0]))  # stable
    sizes, pixels, rows, complete, digests = zip(*(found[index] for index in order), strict=True)
    return Survey(
        tuple(dataset.labelled[index] for index in order),
        sizes,
        np.array(pixels, np.int64),
        np.array(rows, np.int64),
        np.array(complete, bool),
        hashlib.sha256(b"".join(digests)).hexdigest(),
    )


def class_pixels(masks: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """`(classes,)` int64, pixels of each class in all masks; other ids are not counted."""
    return sum(np.bincount(mask[mask < classes], minlength=classes) for mask in masks)
