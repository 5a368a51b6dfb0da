"""Scores of one model on one set of images, all of them read off its confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class Scores:
    """Scores of a semantic segmentation, from the confusion matrix over all of its pixels.

    A class that no evaluated pixel belongs to is *absent*: its IoU and accuracy are NaN and the means
    leave it out, also where the model predicts it. (The false positives are not lost: they are missing
    from the classes whose pixels they took.) So the means of two models are over the same classes.

    Args:
        name: What the scores are of; the heading of their column in a table.
        classes: C class names.
        confusion: (C, C) integers. `confusion[i, j]` counts the pixels of class `i` predicted as `j`;
            ignored pixels are not in it.

    Attributes:
        iou: (C,) float64, intersection over union of each class in 0..1, NaN for absent classes.
        miou: Mean of `iou` over the present classes (mIoU).
        accuracy: (C,) float64, share of the pixels of each class that were found (recall).
        mean_accuracy: Mean of `accuracy` over the present classes.
        pixel_accuracy: Share of all pixels that were predicted correctly.
        pixel_share: (C,) float64, each class's share of the pixels; sums to 1.
        present: (C,) bool, classes that at least one pixel belongs to.
        rare: (C,) bool, present classes whose pixel share is below the median of the present classes.
        rare_miou: Mean of `iou` over the rare classes.

    Means over nothing are NaN.

    Raises:
        ValueError: `confusion` is not (C, C), not of integers, or has negative counts.

    Example:

    >>> scores = Scores("model", ["road", "pole"], [[90, 0], [5, 5]])
    >>> scores.iou.round(3).tolist(), round(scores.miou, 3), round(scores.rare_miou, 3)
    ([0.947, 0.5], 0.724, 0.5)
    """

    def __init__(self, name: str, classes: Sequence[str], confusion: Any):
        self.name = name
        self.classes = tuple(classes)
        self.confusion = _checked(np.asarray(confusion), len(self.classes))

    @property
    def pixels(self) -> np.ndarray:
        """(C,) int64, evaluated pixels of each class."""
        return self.confusion.sum(axis=1)

    @property
    def present(self) -> np.ndarray:
        return self.pixels > 0

    @property
    def pixel_share(self) -> np.ndarray:
        return _ratio(self.pixels, self.pixels.sum())

    @property
    def iou(self) -> np.ndarray:
        hits = np.diag(self.confusion)
        union = self.pixels + self.confusion.sum(axis=0) - hits
        return np.where(self.present, _ratio(hits, union), np.nan)

    @property
    def accuracy(self) -> np.ndarray:
        return _ratio(np.diag(self.confusion), self.pixels)

    @property
    def rare(self) -> np.ndarray:
        if not self.present.any():
            return self.present
        return self.present & (self.pixels < np.median(self.pixels[self.present]))

    @property
    def miou(self) -> float:
        return _mean(self.iou[self.present])

    @property
    def rare_miou(self) -> float:
        return _mean(self.iou[self.rare])

    @property
    def mean_accuracy(self) -> float:
        return _mean(self.accuracy[self.present])

    @property
    def pixel_accuracy(self) -> float:
        return float(_ratio(np.trace(self.confusion), self.confusion.sum()))

    def to_json(self) -> dict[str, Any]:
        """Name, classes and confusion matrix as JSON values, with the means for whoever reads the file."""
        return {
            "name": self.name,
            "miou": none_for_nan(self.miou),
            "rare_miou": none_for_nan(self.rare_miou),
            "pixel_accuracy": none_for_nan(self.pixel_accuracy),
            "mean_accuracy": none_for_nan(self.mean_accuracy),
            "classes": list(self.classes),
            "iou": [none_for_nan(value) for value in self.iou],
            "confusion": self.confusion.tolist(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scores:
        """The scores that `to_json` wrote; everything but the confusion matrix is computed anew."""
        return cls(value["name"], value["classes"], np.array(value["confusion"], dtype=np.int64))

    def named(self, name: str) -> Scores:
        """The same scores under another name."""
        return Scores(name, self.classes, self.confusion)


def none_for_nan(value: float) -> float | None:
    """`value` as JSON knows it: JSON has no NaN."""
    return None if np.isnan(value) else float(value)


def _checked(confusion: np.ndarray, classes: int) -> np.ndarray:
    if confusion.shape != (classes, classes):
        raise ValueError(
            f"`confusion` must have the shape ({classes}, {classes}) of {classes} classes, "
            f"received {confusion.shape}"
        )
    if not np.issubdtype(confusion.dtype, np.integer):
        raise ValueError(f"`confusion` must hold integers, received {confusion.dtype}")
    if (confusion < 0).any():
        raise ValueError(f"`confusion` must not be negative, received {confusion.min()}")
    return confusion.astype(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where `whole` is 0."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.full(shape, np.nan), where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
