"""Pixels of each class in each mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.masks import read_mask
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.data.sample import Dataset, Sample
from usrn_keras.errors import DataError
from usrn_keras.progress import SILENT, Progress


def class_pixels(
    samples: Sequence[Sample], dataset: Dataset, *, workers: int = 0, progress: Progress = SILENT
) -> np.ndarray:
    """Count the pixels of each class in the mask of each sample, `(samples, classes)` int64.

    Raises:
        DataError: masks cannot be read or hold ids of no class; every one is named.

    Example:

    >>> class_pixels(dataset.labelled, dataset).sum(axis=0)   # doctest: +SKIP
    array([5400,  360])
    """
    faults = Faults()

    def count(sample: Sample) -> np.ndarray:
        try:
            mask = read_mask(sample.mask, dataset)
        except DataError as error:
            faults.add(error.message)
            return np.zeros(dataset.num_classes, np.int64)
        return np.bincount(mask.ravel(), minlength=dataset.num_classes)[: dataset.num_classes]

    counts = np.zeros((len(samples), dataset.num_classes), np.int64)
    with progress.task("masks", total=len(samples)) as task:
        for row, counted in enumerate(ordered_map(count, samples, workers=workers, ahead=4 * workers)):
            counts[row] = counted
            task.advance()
    faults.raise_if_any(
        "the classes in the masks cannot be counted:", hint="`usrn data check RECIPE` says more."
    )
    return counts
