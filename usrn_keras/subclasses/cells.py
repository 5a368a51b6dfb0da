"""Which feature pixels of an image are kept on disk: those that are clustered, and those that maps need."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from usrn_keras.subclasses.features import feature_labels, holds_label


@dataclass(frozen=True, eq=False)
class Cells:
    """The feature pixels of one image that are kept.

    Attributes:
        labels: `(rows, columns)` class of each feature pixel; values outside the classes are ignored.
        kept: C + 1 arrays of flat indices into `labels`, ascending. First those of each class; last the
            ignored feature pixels that have labelled pixels around their centre, which a map needs.
        complete: Whether all feature pixels with a class are kept. If not, the model is run again when
            the map is written, and of ignored feature pixels none is kept.

    Example:

    >>> mask = np.full((8, 4), 255, np.uint8)
    >>> mask[:4], mask[4, 0] = 1, 0
    >>> [kept.tolist() for kept in choose_cells(mask, 2, name="street").kept]
    [[], [0], [1]]
    """

    labels: np.ndarray
    kept: tuple[np.ndarray, ...]
    complete: bool

    @property
    def counts(self) -> list[int]:
        """How many are kept of each kind."""
        return [len(indices) for indices in self.kept]


def choose_cells(mask: np.ndarray, classes: int, *, name: str, limit: int = 0, seed: int = 0) -> Cells:
    """The feature pixels of an image to keep.

    Args:
        mask: `(height, width)` class ids; values outside 0 to `classes - 1` are ignored.
        classes: Number of classes.
        name: Name of the image; with `seed` it decides what is drawn.
        limit: Most feature pixels of a class, drawn at random; 0 keeps all.
        seed: Of the draw.
    """
    labels = feature_labels(mask)
    by_class = [np.flatnonzero(labels == class_id) for class_id in range(classes)]
    complete = not limit or all(len(indices) <= limit for indices in by_class)
    if complete:
        ignored = (labels < 0) | (labels >= classes)
        return Cells(labels, (*by_class, np.flatnonzero(ignored & holds_label(mask, classes))), True)
    drawn = [_draw(indices, limit, [seed, _number(name), c]) for c, indices in enumerate(by_class)]
    return Cells(labels, (*drawn, np.zeros(0, np.int64)), False)


def _draw(indices: np.ndarray, limit: int, entropy: list[int]) -> np.ndarray:
    if len(indices) <= limit:
        return indices
    return np.sort(np.random.default_rng(entropy).choice(indices, limit, replace=False))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
