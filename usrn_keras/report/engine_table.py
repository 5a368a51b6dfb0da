"""The comparison of clustering engines: one row per class and engine, and one per engine over all classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.subclasses import SubclassMap, class_balance_rate
from usrn_keras.subclasses.compare_engines import ENGINES, EngineResult

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("class", "K_c", "engine", "seconds", "WCSS", "CBR %", "smallest", "largest")
NOTES = (
    "WCSS: squared distances of the feature pixels to the mean of their cluster, summed.",
    "CBR: class balance rate (Eq. 9) of the clusters of the class; in `all`, of all subclasses.",
    "Classes with one subclass are the same for every engine, and part of `all` alone.",
    "balanced_kmeans and k_means use all cores where a class is large, k_means_constrained uses one.",
)


class EngineComparison:
    """Measurements of every engine on the features of a run.

    Args:
        subclasses: Subclasses of the run: names of the classes and numbers of pixels.
        results: Results for each engine and class with subclasses, see `compare_engines`.

    Example:

    >>> subclasses = SubclassMap(
    ...     classes=("road",), counts=np.array([2]), sizes=np.array([50, 50]),
    ...     centers=np.zeros((2, 8), "float32"), pixels=np.array([1600]), feature_pixels=np.array([100]),
    ...     inertia=np.array([0.5]), prices=np.zeros(2))
    >>> results = [EngineResult(name, 0, 0.5, 12.0, (50, 50)) for name in ENGINES]
    >>> EngineComparison(subclasses, results).total_rows()[0]
    ['all', '2', 'balanced_kmeans', '0.50', '12', '100.0', '50', '50']
    """

    def __init__(self, subclasses: SubclassMap, results: Sequence[EngineResult]):
        self.subclasses = subclasses
        self.results = tuple(results)

    def class_rows(self) -> list[list[str]]:
        """Rows of the classes with several subclasses, the most frequent first, in the order of `COLUMNS`."""
        order = np.argsort(-self.subclasses.pixels, kind="stable")
        split = [class_id for class_id in order.tolist() if self.subclasses.counts[class_id] > 1]
        return [
            _row(self.subclasses.classes[class_id], self._class_figures(result))
            for class_id in split
            for result in self.results
            if result.class_id == class_id
        ]

    def total_rows(self) -> list[list[str]]:
        """One row of the same columns for each engine, over all classes."""
        return [_row("all", self._total(name)) for name in ENGINES]

    def to_json(self) -> dict[str, Any]:
        """The measurements as JSON values; rates in 0..1."""
        return {
            "engines": [self._total(name) for name in ENGINES],
            "classes": [
                {"class": self.subclasses.classes[result.class_id], **self._class_figures(result)}
                for result in self.results
            ],
        }

    def _class_figures(self, result: EngineResult) -> dict[str, Any]:
        empty = not sum(result.sizes)
        return _figures(result.engine, [result], 1.0 if empty else class_balance_rate(result.sizes))

    def _total(self, name: str) -> dict[str, Any]:
        own = [result for result in self.results if result.engine == name]
        sizes = np.array([size for result in own for size in result.sizes])
        return _figures(name, own, class_balance_rate(self.subclasses.in_label_pixels(sizes)))


def _figures(name: str, results: Sequence[EngineResult], rate: float) -> dict[str, Any]:
    sizes = [size for result in results for size in result.sizes]
    return {
        "engine": name,
        "subclasses": len(sizes),
        "seconds": round(sum(result.seconds for result in results), 4),
        "within_squares": sum(result.squares for result in results),
        "class_balance_rate": rate,
        "smallest": min(sizes),
        "largest": max(sizes),
    }


def _row(class_name: str, figures: dict[str, Any]) -> list[str]:
    return [
        class_name, f"{figures['subclasses']:,}", figures["engine"], f"{figures['seconds']:.2f}",
        f"{figures['within_squares']:.5g}", f"{100 * figures['class_balance_rate']:.1f}",
        f"{figures['smallest']:,}", f"{figures['largest']:,}",
    ]  # fmt: skip


def engine_table(comparison: EngineComparison) -> Table:
    """The table for a terminal."""
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=Text("\n".join(NOTES)), caption_justify="left", collapse_padding=True)
    for name in COLUMNS:
        side = "left" if name in ("class", "engine") else "right"
        table.add_column(Text(name), justify=side, overflow="fold")
    rows = comparison.class_rows()
    for i, row in enumerate(rows):
        table.add_row(*map(Text, row), end_section=i + 1 == len(rows) or rows[i + 1][0] != row[0])
    for row in comparison.total_rows():
        table.add_row(*map(Text, row), style="bold")
    return table
