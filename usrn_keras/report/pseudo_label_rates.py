"""Shares computed from the counts of pseudo labels: how many are confident, correct and complete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class PseudoLabelRates:
    """Shares of the pseudo labels of a run, step by step. A share of nothing is NaN.

    Args:
        records: Lines of `diagnosis.jsonl`, see `usrn_keras.evaluation.pseudo_label_quality`; at least one.

    Attributes:
        steps: `(T,)` steps of the records.

    Example:

    >>> sums = {"pixels": [8, 2], "confident": [4, 0]}
    >>> record = {"step": 5, "images": 1, "masks": 0, "threshold": 0.75, "by_pseudo_label": sums}
    >>> rates = PseudoLabelRates([record])
    >>> rates.share("confident").tolist(), rates.overall("confident").tolist()
    ([[0.5, 0.0]], [0.4])
    """

    def __init__(self, records: Sequence[dict[str, Any]]):
        self._records = list(records)
        self.steps = np.array([record["step"] for record in records])

    @property
    def images(self) -> int:
        """Number of images."""
        return self._records[-1]["images"]

    @property
    def masks(self) -> int:
        """Number of images among them whose true classes are known."""
        return self._records[-1]["masks"]

    @property
    def threshold(self) -> float:
        """gamma."""
        return self._records[-1]["threshold"]

    def has(self, name: str) -> bool:
        """Whether the method of the run counts `name`, such as `open` or `entropy_sub`, in every record."""
        return all(name in record["by_pseudo_label"] for record in self._records)

    def pixels(self, by: str = "by_pseudo_label") -> np.ndarray:
        """`(T, C)` pixels of each class."""
        return self._sums(by, "pixels")

    def share(self, name: str, by: str = "by_pseudo_label") -> np.ndarray:
        """`(T, C)` share (or mean, of an entropy) among the pixels of each class."""
        return _ratio(self._sums(by, name), self.pixels(by))

    def overall(self, name: str, by: str = "by_pseudo_label") -> np.ndarray:
        """`(T,)` the same among all pixels."""
        return _ratio(self._sums(by, name).sum(axis=1), self.pixels(by).sum(axis=1))

    def precision(self, source: str = "corrected") -> np.ndarray:
        """`(T, C)` share of the labels above gamma that are correct, by pseudo label.

        Args:
            source: `corrected`, the labels that F is trained on; `own`, F's labels before the correction;
                `sub`, the classes of F_sub's subclasses; `dropped`, F's labels that the correction removed.
        """
        return _ratio(self._quality(source, "right"), self._quality(source, "chosen"))

    def overall_precision(self, source: str = "corrected") -> np.ndarray:
        """`(T,)` the same of all classes together."""
        return _ratio(self._quality(source, "right").sum(axis=1), self._quality(source, "chosen").sum(axis=1))

    def coverage(self, source: str = "corrected") -> np.ndarray:
        """`(T, C)` share of the pixels of a true class that have its label, above gamma."""
        return _ratio(self._quality(source, "right"), self.pixels("by_true_class"))

    def overall_coverage(self, source: str = "corrected") -> np.ndarray:
        """`(T,)` the same of all classes together."""
        return _ratio(self._quality(source, "right").sum(axis=1), self.pixels("by_true_class").sum(axis=1))

    def lost(self, name: str) -> np.ndarray:
        """`(T, C)` pixels that were `dropped` or `overridden`, by F's own label."""
        return self._sums("by_pseudo_label", name)

    def changed_by_second_head(self) -> tuple[float, float, float]:
        """Shares of F's labels that F_sub dropped, overrode and changed (both) at the last step.

        They are shares of the labels that are above gamma before or after the correction.
        """
        confident = self._sums("by_pseudo_label", "confident")[-1].sum()
        dropped, overridden = (self.lost(name)[-1].sum() for name in ("dropped", "overridden"))
        shares = _ratio(np.array([dropped, overridden, dropped + overridden]), np.array(confident + dropped))
        return tuple(shares.tolist())

    def _sums(self, by: str, name: str) -> np.ndarray:
        return np.array([record[by][name] for record in self._records], dtype=np.float64)

    def _quality(self, source: str, name: str) -> np.ndarray:
        return np.array([record["quality"][source][name] for record in self._records], dtype=np.float64)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)
