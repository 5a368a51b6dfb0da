"""A made batch, the same for our step and for the official one."""

from __future__ import annotations

import numpy as np


def split_list(classes: int, subclasses: int) -> list[int]:
    """Subclasses of each class, as even as can be; they add up to `subclasses`."""
    return [subclasses // classes + (index < subclasses % classes) for index in range(classes)]


def parents(classes: int, subclasses: int) -> np.ndarray:
    """`(subclasses,)` int32, the class of each subclass; those of a class stand together."""
    return np.repeat(np.arange(classes, dtype=np.int32), split_list(classes, subclasses))


def made_batch(batch: int, crop: int, classes: int, subclasses: int) -> dict[str, np.ndarray]:
    """Noise, always the same.

    `labelled`, `weak`: `(batch, crop, crop, 3)` uint8; `labels`, `sublabels`: `(batch, crop, crop)` int32.
    """
    rng = np.random.default_rng(0)
    size = (batch, crop, crop)
    sublabels = rng.integers(0, subclasses, size).astype(np.int32)
    return {
        "labelled": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "weak": rng.integers(0, 256, (*size, 3), dtype=np.uint8),
        "labels": parents(classes, subclasses)[sublabels],
        "sublabels": sublabels,
    }
