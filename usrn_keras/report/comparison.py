"""Runs side by side: one column each, one row per class from the most frequent to the rarest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.errors import RunError
from usrn_keras.metrics.scores import Scores, none_for_nan
from usrn_keras.report import notes
from usrn_keras.report.csv_text import csv_text
from usrn_keras.report.notes import RARE

if TYPE_CHECKING:
    from rich.console import Group

MEANS: dict[str, Callable[[Scores], float]] = {
    "mIoU": lambda scores: scores.miou,
    f"mIoU of rare classes {RARE}": lambda scores: scores.rare_miou,
    "pixel accuracy": lambda scores: scores.pixel_accuracy,
    "mean class accuracy": lambda scores: scores.mean_accuracy,
    "frequency-weighted IoU": lambda scores: scores.frequency_weighted_iou,
}
BOUNDARY_MEANS: dict[str, Callable[[Scores], float]] = {"boundary mIoU": lambda scores: scores.boundary_miou}


class Comparison:
    """The scores of several runs in one table; the first run is what the others are held against.

    Args:
        scores: One or more scores of the same classes.

    Raises:
        RunError: There are no scores, or their classes differ.

    Example:

    >>> runs = [Scores("Baseline", ["road"], [[8]]), Scores("USRN", ["road"], [[8]])]
    >>> print(Comparison(runs).markdown().splitlines()[2])
    | road | 100.0 | 100.0 | 100.0 (+0.0) |
    """

    def __init__(self, scores: Sequence[Scores]):
        if not scores:
            raise RunError("there is nothing to compare: no scores were given")
        refuse_other_classes([(one.name, one.classes) for one in scores])
        self.scores = tuple(scores)

    @property
    def header(self) -> list[str]:
        return ["class", "pixels %", *(scores.name for scores in self.scores)]

    @property
    def means(self) -> dict[str, Callable[[Scores], float]]:
        """The means that the table shows: those of boundaries only where they were measured."""
        measured = any(scores.boundary is not None for scores in self.scores)
        return MEANS | (BOUNDARY_MEANS if measured else {})

    def order(self) -> np.ndarray:
        """(C,) class ids from the most frequent to the rarest."""
        return np.argsort(-self.scores[0].pixels, kind="stable")

    def class_rows(self) -> list[list[str]]:
        """One row per class, sorted by its share of the pixels: name, share, then IoU in percent."""
        first = self.scores[0]
        ious = [scores.iou for scores in self.scores]
        return [
            [
                first.classes[i] + (f" {RARE}" if first.rare[i] else ""),
                _percent(first.pixel_share[i]) if first.present[i] else "absent",
                *_cells([iou[i] for iou in ious]),
            ]
            for i in self.order()
        ]

    def mean_rows(self) -> list[list[str]]:
        """mIoU and the other means, in percent."""
        return [[name, "", *_cells([mean(one) for one in self.scores])] for name, mean in self.means.items()]

    def warnings(self) -> list[str]:
        """Why the columns may not be comparable, one line each."""
        return notes.warnings(self.scores)

    def notes(self) -> list[str]:
        """What stands under the table: how to read it, warnings, and where the figures come from."""
        return [" ".join(notes.legend(self.scores)), *self.warnings(), *notes.origins(self.scores)]

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        rule = [":--", *["--:"] * (len(self.header) - 1)]
        rows = [list(map(_escaped, row)) for row in (self.header, *self.class_rows())]
        means = [[f"**{_escaped(name)}**", *rest] for name, *rest in self.mean_rows()]
        lines = ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:], *means)]
        return "\n".join([*lines, *(f"\n{_escaped(note)}" for note in self.notes())])

    def rich(self) -> Group:
        """The table for a terminal, in several parts below each other where it is too narrow for one."""
        from rich.console import Group
        from rich.text import Text

        from usrn_keras.report.text_tables import Columns

        table = Columns(self.header, [self.class_rows(), self.mean_rows()], fixed=2)
        return Group(table, *(Text(note) for note in self.notes()))

    def csv(self) -> str:
        """The figures as CSV, fractions in 0..1: a row for each class and mean, notes as comment lines.

        Columns: `kind` (`class` or `mean`), `name`, `pixels`, `pixel_share`, `rare` (1 or 0), the IoU
        or mean of each run, and a column `RUN boundary` for each run whose boundaries were measured.
        """
        measured = [scores for scores in self.scores if scores.boundary is not None]
        names = [scores.name for scores in self.scores] + [f"{scores.name} boundary" for scores in measured]
        header = ["kind", "name", "pixels", "pixel_share", "rare", *names]
        empty = [None] * len(measured)
        means = [
            ["mean", name.removesuffix(f" {RARE}"), None, None, None]
            + [none_for_nan(mean(scores)) for scores in self.scores]
            + empty
            for name, mean in self.means.items()
        ]
        return csv_text([header, *self._csv_classes(measured), *means], self.notes())

    def _csv_classes(self, measured: Sequence[Scores]) -> list[list[Any]]:
        first = self.scores[0]
        figures = [*(scores.iou for scores in self.scores), *(scores.boundary_iou for scores in measured)]
        return [
            [
                *("class", first.classes[i], int(first.pixels[i])),
                *(none_for_nan(first.pixel_share[i]), int(first.rare[i])),
                *(none_for_nan(figure[i]) for figure in figures),
            ]
            for i in self.order()
        ]

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values, fractions in 0..1, classes in their own order."""
        first = self.scores[0]
        return {
            "classes": list(first.classes),
            "pixel_share": [none_for_nan(share) for share in first.pixel_share],
            "rare": first.rare.tolist(),
            "absent": (~first.present).tolist(),
            "warnings": self.warnings(),
            "runs": [scores.to_json() for scores in self.scores],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Comparison:
        """The comparison that `to_json` wrote; everything but the counts is computed anew."""
        return cls([Scores.from_json(scores) for scores in value["runs"]])


def refuse_other_classes(named: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Raise a `RunError` unless all of `(name, classes)` have the classes of the first."""
    (name, classes), *others = named
    faults = [f"{other}: {', '.join(found)}" for other, found in others if tuple(found) != tuple(classes)]
    if faults:
        message = f"only runs of the same classes can be compared; {name} has {', '.join(classes)}"
        raise RunError(message, faults=faults)


def _cells(values: Sequence[float]) -> list[str]:
    first, *others = values
    return [_percent(first), *(_percent(other) + _difference(other, first) for other in others)]


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _difference(value: float, reference: float) -> str:
    difference = round(100 * (value - reference), 1) + 0.0  # + 0.0 turns -0.0 into 0.0
    return "" if np.isnan(difference) else f" ({difference:+.1f})"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("*", "\\*")
