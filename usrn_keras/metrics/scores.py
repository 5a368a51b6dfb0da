"""Scores of one model on one set of images, computed from its confusion matrix, and their provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Provenance:
    """The images that a model was measured on, and how. Two figures compare only if these are equal.

    Args:
        dataset: Name of the data set.
        split: Name of the split: `val` or `test`.
        images: Number of images measured.
        fingerprint: `Dataset.fingerprint()`, the hash of the lists of images.
        mode: How the images were predicted, such as `whole` or `slide`; `masks` for masks from files.
        checkpoint: `last` or `best`; empty for masks from files.

    Example:

    >>> Provenance("camvid", "val", 101, "4d51ba8f8d2e3a90", "whole", "last").line()
    'camvid val, 101 images, lists 4d51ba8f8d2e3a90, mode whole, checkpoint last'
    """

    dataset: str
    split: str
    images: int
    fingerprint: str
    mode: str
    checkpoint: str

    def line(self) -> str:
        """All fields in one line, as a footnote of a table."""
        images = f"{self.images:,} image" + ("s" if self.images != 1 else "")
        parts = [f"{self.dataset} {self.split}", images, f"lists {self.fingerprint}", f"mode {self.mode}"]
        return ", ".join([*parts, *([f"checkpoint {self.checkpoint}"] if self.checkpoint else [])])

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Provenance:
        """The provenance that `to_json` wrote."""
        return cls(**value)


class Scores:
    """Scores of a semantic segmentation, from the confusion matrix over all of its pixels.

    A class that no evaluated pixel belongs to is *absent*: its IoU and accuracy are NaN and the means
    leave it out, even if the model predicts it (such false positives still lower the IoU of the classes
    that the pixels belong to). So the means of two models are over the same classes.

    Args:
        name: Name of the model; the heading of its column in a table.
        classes: C class names.
        confusion: (C, C) integers. `confusion[i, j]` counts the pixels of class `i` predicted as `j`;
            ignored pixels are not in it.
        boundary: (C, 2) integers, intersection and union of the boundary regions of each class in
            pixels, summed over all images; None if they were not measured.
        provenance: The images, and how they were predicted; None if unknown.

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
        frequency_weighted_iou: Mean of `iou` weighted by `pixel_share` (Long et al., CVPR 2015).
        boundary_iou: (C,) float64, Boundary IoU in 0..1 (Cheng et al., CVPR 2021), NaN for absent
            classes, for classes without a boundary, and where it was not measured.
        boundary_miou: Mean of `boundary_iou` over the classes that have one.

    Means over nothing are NaN.

    Raises:
        ValueError: `confusion` is not (C, C) or `boundary` not (C, 2), they are not of integers or
            have negative counts, or an intersection exceeds its union.

    Example:

    >>> scores = Scores("model", ["road", "pole"], [[90, 0], [5, 5]])
    >>> scores.iou.round(3).tolist(), round(scores.miou, 3), round(scores.rare_miou, 3)
    ([0.947, 0.5], 0.724, 0.5)
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        confusion: Any,
        *,
        boundary: Any = None,
        provenance: Provenance | None = None,
    ):
        self.name = name
        self.classes = tuple(classes)
        self.confusion = _checked_confusion(np.asarray(confusion), len(self.classes))
        self.boundary = None if boundary is None else _checked_boundary(np.asarray(boundary), self.classes)
        self.provenance = provenance

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
        return rare_classes(self.pixels)

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

    @property
    def frequency_weighted_iou(self) -> float:
        if not self.present.any():
            return float("nan")
        return float((self.pixel_share * self.iou)[self.present].sum())

    @property
    def boundary_iou(self) -> np.ndarray:
        if self.boundary is None:
            return np.full(len(self.classes), np.nan)
        return np.where(self.present, _ratio(self.boundary[:, 0], self.boundary[:, 1]), np.nan)

    @property
    def boundary_miou(self) -> float:
        return _mean(self.boundary_iou[~np.isnan(self.boundary_iou)])

    def to_json(self) -> dict[str, Any]:
        """The counts and the scores as JSON values."""
        return {
            "name": self.name,
            "miou": none_for_nan(self.miou),
            "rare_miou": none_for_nan(self.rare_miou),
            "pixel_accuracy": none_for_nan(self.pixel_accuracy),
            "mean_accuracy": none_for_nan(self.mean_accuracy),
            "frequency_weighted_iou": none_for_nan(self.frequency_weighted_iou),
            "boundary_miou": none_for_nan(self.boundary_miou),
            "classes": list(self.classes),
            "iou": [none_for_nan(value) for value in self.iou],
            "boundary_iou": [none_for_nan(value) for value in self.boundary_iou],
            "confusion": self.confusion.tolist(),
            "boundary": None if self.boundary is None else self.boundary.tolist(),
            "provenance": None if self.provenance is None else self.provenance.to_json(),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scores:
        """The scores that `to_json` wrote; everything but the counts is computed again.

        Files of the first releases have no `boundary` and no `provenance`.
        """
        provenance = value.get("provenance")
        return cls(
            value["name"],
            value["classes"],
            np.array(value["confusion"], dtype=np.int64),
            boundary=value.get("boundary"),
            provenance=provenance and Provenance.from_json(provenance),
        )


def rare_classes(pixels: np.ndarray) -> np.ndarray:
    """(C,) bool, the classes that have pixels, but fewer than the median of those that have any.

    Args:
        pixels: (C,) integers, pixels of each class.

    Example:

    >>> rare_classes(np.array([100, 50, 0, 5])).tolist()
    [False, False, False, True]
    """
    present = pixels > 0
    return present & (pixels < np.median(pixels[present])) if present.any() else present


def none_for_nan(value: float) -> float | None:
    """`value` for JSON, which has no NaN."""
    return None if np.isnan(value) else float(value)


def _checked_confusion(confusion: np.ndarray, classes: int) -> np.ndarray:
    if confusion.shape != (classes, classes):
        raise ValueError(
            f"`confusion` must have the shape ({classes}, {classes}) of {classes} classes, "
            f"received {confusion.shape}"
        )
    return _checked_counts("confusion", confusion)


def _checked_boundary(boundary: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    if boundary.shape != (len(classes), 2):
        raise ValueError(
            f"`boundary` must have the shape ({len(classes)}, 2) of {len(classes)} classes, "
            f"received {boundary.shape}"
        )
    counts = _checked_counts("boundary", boundary)
    wrong = [name for name, (part, whole) in zip(classes, counts, strict=True) if part > whole]
    if wrong:
        raise ValueError(f"`boundary` must not have intersections above unions: {', '.join(wrong)}")
    return counts


def _checked_counts(argument: str, counts: np.ndarray) -> np.ndarray:
    if not np.issubdtype(counts.dtype, np.integer):
        raise ValueError(f"`{argument}` must hold integers, received {counts.dtype}")
    if (counts < 0).any():
        raise ValueError(f"`{argument}` must not be negative, received {counts.min()}")
    return counts.astype(np.int64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, NaN where `whole` is 0."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.full(shape, np.nan), where=np.asarray(whole) > 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
