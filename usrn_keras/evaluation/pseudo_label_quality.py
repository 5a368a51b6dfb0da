"""Pseudo labels counted per class, with and without the true classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

SOURCES = {"corrected": "", "own": "own_", "sub": "sub_"}  # whose labels, and how their arrays are called
PER_CLASS = ("pixels", "confident", "confident_sub", "open", "entropy", "entropy_sub")
LOST = ("dropped", "overridden")


class Counts:
    """Sums over images, for `C` classes; a pixel is a cell of stride 8.

    Args:
        classes: C.
        threshold: gamma; a pseudo label above it is confident.

    Attributes:
        by_pseudo_label: Sums `(C,)` over the pixels with a pseudo label: `pixels`, `confident` (F above
            gamma after the correction), `confident_sub` (F_sub above gamma), `open` (the gate), and the sums
            of both normalised entropies, `entropy` (F) and `entropy_sub`. By F's label before the
            correction: `dropped` (confident without F_sub, not with it) and `overridden` (confident, with
            another label).
        by_true_class: The same by true class, over pixels whose class is known.
        quality: For the pseudo labels of each of `SOURCES` that are above gamma, where the true class is
            known: `chosen` `(C,)` by pseudo label, and `right`, those of them that are true. For those that
            the correction dropped, by F's own label: `dropped` and `dropped_right`.
        images: Images counted; `masks`: those whose true classes are known.

    Example:

    >>> counts = Counts(2, threshold=0.75)
    >>> said = {name: np.array([[0, 1]]) for name in ("labels", "own_labels", "sub_labels")}
    >>> said |= {name: np.array([[0.9, 0.6]]) for name in (
    ...     "confidence", "own_confidence", "sub_confidence", "entropy", "sub_entropy")}
    >>> counts.add(said | {"open": np.array([[True, False]])}, labels=np.array([[0, 0]]))
    >>> counts.by_pseudo_label["confident"].tolist(), counts.quality["corrected"]["right"].tolist()
    ([1, 0], [1, 0])
    """

    def __init__(self, classes: int, threshold: float):
        self.classes, self.threshold = classes, threshold
        self.images = self.masks = 0
        self.by_pseudo_label = self._zeros(*PER_CLASS, *LOST)
        self.by_true_class = self._zeros(*PER_CLASS, *LOST)
        self.quality = {source: self._zeros("chosen", "right") for source in SOURCES}
        self.quality["dropped"] = self._zeros("chosen", "right")

    def add(self, said: Mapping[str, np.ndarray], labels: np.ndarray | None) -> None:
        """Count one image.

        Args:
            said: What `PseudoLabeller` says of it.
            labels: `(rows, columns)` true class ids, others are not known; None: there is no mask.
        """
        flat = {name: values.ravel() for name, values in said.items()}
        lost = self._lost(flat)
        self.images += 1
        self._count(self.by_pseudo_label, flat, lost, flat["labels"], flat["own_labels"])
        if labels is None:
            return
        self.masks += 1
        truth = labels.ravel()
        known = (truth >= 0) & (truth < self.classes)
        flat = {name: values[known] for name, values in flat.items()}
        lost = {name: values[known] for name, values in lost.items()}
        self._count(self.by_true_class, flat, lost, truth[known], truth[known])
        self._judge(flat, lost["dropped"], truth[known])

    def to_record(self) -> dict[str, Any]:
        """Everything as JSON values; entropies are rounded to 6 digits."""
        return {
            "images": self.images,
            "masks": self.masks,
            "threshold": self.threshold,
            "by_pseudo_label": _lists(self.by_pseudo_label),
            "by_true_class": _lists(self.by_true_class),
            "quality": {source: _lists(sums) for source, sums in self.quality.items()},
        }

    def _zeros(self, *names: str) -> dict[str, np.ndarray]:
        sums = ("entropy", "entropy_sub")
        return {name: np.zeros(self.classes, np.float64 if name in sums else np.int64) for name in names}

    def _lost(self, said: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        confident = said["confidence"] > self.threshold
        return {
            "dropped": (said["own_confidence"] > self.threshold) & ~confident,
            "overridden": confident & (said["labels"] != said["own_labels"]),
        }

    def _count(
        self,
        sums: dict[str, np.ndarray],
        said: Mapping[str, np.ndarray],
        lost: Mapping[str, np.ndarray],
        of: np.ndarray,
        lost_of: np.ndarray,
    ) -> None:
        """Add what is said of pixels to the sums of the class `of` each; what was lost, to `lost_of`."""
        sums["pixels"] += self._bins(of)
        sums["confident"] += self._bins(of[said["confidence"] > self.threshold])
        sums["confident_sub"] += self._bins(of[said["sub_confidence"] > self.threshold])
        sums["open"] += self._bins(of[said["open"]])
        sums["entropy"] += np.bincount(of, said["entropy"], self.classes)
        sums["entropy_sub"] += np.bincount(of, said["sub_entropy"], self.classes)
        for name, where in lost.items():
            sums[name] += self._bins(lost_of[where])

    def _judge(self, said: Mapping[str, np.ndarray], dropped: np.ndarray, truth: np.ndarray) -> None:
        """Hold the confident labels of each source, and the dropped ones, against the truth."""
        chosen = {
            source: (said[f"{prefix}labels"], said[f"{prefix}confidence"] > self.threshold)
            for source, prefix in SOURCES.items()
        }
        for source, (labels, where) in {**chosen, "dropped": (said["own_labels"], dropped)}.items():
            self.quality[source]["chosen"] += self._bins(labels[where])
            self.quality[source]["right"] += self._bins(labels[where & (labels == truth)])

    def _bins(self, ids: np.ndarray) -> np.ndarray:
        return np.bincount(ids, minlength=self.classes)


def _lists(sums: Mapping[str, np.ndarray]) -> dict[str, list]:
    return {
        name: values.tolist() if values.dtype == np.int64 else values.round(6).tolist()
        for name, values in sums.items()
    }
