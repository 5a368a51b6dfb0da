"""What came of a table: means and deviations over seeds, and paired differences to the reference row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.sweeps import render as layout
from usrn_keras.sweeps.plan import Plan

if TYPE_CHECKING:
    from rich.console import RenderableType

Place = tuple[str, str]  # row and split


@dataclass(frozen=True)
class Measured:
    """A run's scores in one cell.

    Attributes:
        figures: By name, see `usrn_keras.sweeps.spec.Figure`; shares in 0..1, memory in bytes.
        ious: IoU of each class in 0..1; None for absent ones.
        folder: Of the run.
        seconds: Of training.
    """

    figures: Mapping[str, float]
    ious: Mapping[str, float | None]
    folder: str
    seconds: float


@dataclass(frozen=True)
class Summary:
    """A figure over seeds.

    Attributes:
        mean: Over the seeds that are done.
        deviation: Sample standard deviation; None for a single seed.
        seeds: How many are done.
    """

    mean: float
    deviation: float | None
    seeds: int


@dataclass(frozen=True)
class TableResult:
    """A table with what is known of its cells.

    Args:
        plan: What was asked.
        cells: By row, split and seed; what is missing is a gap.
        failures: Why runs failed, by the name of the run.
        provenance: Where the figures come from, one line.
    """

    plan: Plan
    cells: Mapping[tuple[str, str, int], Measured]
    failures: Mapping[str, str]
    provenance: str = ""

    @property
    def gaps(self) -> list[str]:
        """Rows, splits and seeds that have no figure."""
        missing = [c for c in self.plan.cells if (c.row, c.split, c.seed) not in self.cells]
        return [" ".join([c.row, *([c.split] if c.split else []), f"seed {c.seed}"]) for c in missing]

    @property
    def figures(self) -> list[str]:
        """Figures that any run has, in the order of the table."""
        known = {name for cell in self.cells.values() for name in cell.figures}
        return [name for name in self.plan.spec.figures if name in known or name == "miou"]

    def summary(self, place: Place, figure: str) -> Summary | None:
        """Mean and deviation of a figure over the seeds; None where there is none."""
        return _summary(self.values(place, figure))

    def values(self, place: Place, figure: str) -> list[float]:
        """A figure of each seed that is done."""
        return [values[figure] for _, values in self._seeds(place) if figure in values]

    def difference(self, place: Place, figure: str) -> Summary | None:
        """The same of its difference to the reference row, paired by seed."""
        row, split = place
        reference = self.plan.spec.reference
        if row == reference:
            return None
        other = dict(self._seeds((reference, split)))
        return _summary(
            [
                values[figure] - other[seed][figure]
                for seed, values in self._seeds(place)
                if figure in values and figure in other.get(seed, {})
            ]
        )

    @property
    def classes(self) -> list[str]:
        """Names of the classes, the most frequent first."""
        first = next(iter(self.cells.values()))
        return list(first.ious)

    def class_means(self, place: Place) -> dict[str, float]:
        """Mean IoU in 0..1 of each class over the seeds where it is not absent."""
        return _means([self._ious(place, seed) for seed in self.plan.seeds])

    def class_differences(self, place: Place) -> dict[str, float]:
        """Mean difference of each class's IoU to the reference row, over the seeds where both have it."""
        reference = (self.plan.spec.reference, place[1])
        found = []
        for seed in self.plan.seeds:
            own, other = self._ious(place, seed), self._ious(reference, seed)
            found.append({name: own[name] - other[name] for name in own if name in other})
        return {} if place == reference else _means(found)

    def _ious(self, place: Place, seed: int) -> dict[str, float]:
        cell = self.cells.get((*place, seed))
        return {name: iou for name, iou in cell.ious.items() if iou is not None} if cell else {}

    def paper(self, place: Place) -> float | None:
        """mIoU in 0..1 that the paper has in this cell."""
        row, split = place
        percent = self.plan.spec.paper.get(self._dataset, {}).get(split, {}).get(row)
        return None if percent is None else percent / 100

    @property
    def reading(self) -> list[str]:
        """What stands below the table."""
        return layout.reading(self)

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        return layout.markdown(self)

    def csv(self) -> str:
        """A line for each row, split, seed and class, shares in 0..1."""
        return layout.csv(self)

    def rich(self) -> RenderableType:
        """The table for a terminal."""
        return layout.rich(self)

    def to_json(self) -> dict[str, Any]:
        """All figures, by seed and over seeds."""
        return {
            "table": self.plan.spec.name,
            "title": self.plan.spec.title,
            "recipe": self.plan.recipe,
            "reference": self.plan.spec.reference,
            "provenance": self.provenance,
            "rows": [self._place_json(place) for place in self.places],
            "gaps": self.gaps,
            "failures": dict(self.failures),
        }

    @cached_property
    def places(self) -> list[Place]:
        """Rows and splits, row by row."""
        return [(row.name, split) for row in self.plan.spec.rows for split in self.plan.splits]

    @property
    def _dataset(self) -> str:
        return self.plan.cells[0].run.recipe.data.dataset

    def _seeds(self, place: Place) -> Iterator[tuple[int, Mapping[str, float]]]:
        for seed in self.plan.seeds:
            if cell := self.cells.get((*place, seed)):
                yield seed, cell.figures

    def _place_json(self, place: Place) -> dict[str, Any]:
        row, split = place
        seeds = {seed: self.cells[*place, seed] for seed in self.plan.seeds if (*place, seed) in self.cells}
        return {
            "row": row,
            "split": split,
            "paper_miou": self.paper(place),
            "over_seeds": {name: _json(self.summary(place, name)) for name in self.figures},
            "difference": {name: _json(self.difference(place, name)) for name in self.figures},
            "seeds": {
                str(seed): {
                    **cell.figures,
                    "iou": dict(cell.ious),
                    "run": cell.folder,
                    "seconds": cell.seconds,
                }
                for seed, cell in seeds.items()
            },
        }


def _means(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each name over the mappings that have it."""
    values: dict[str, list[float]] = {}
    for one in found:
        for name, value in one.items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(all_values)) for name, all_values in values.items()}


def _summary(values: Sequence[float]) -> Summary | None:
    if not values:
        return None
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(float(np.mean(values)), deviation, len(values))


def _json(summary: Summary | None) -> dict[str, Any] | None:
    if summary is None:
        return None
    return {"mean": summary.mean, "deviation": summary.deviation, "seeds": summary.seeds}
