"""Runs side by side: one column each, one row per class from the most frequent to the rarest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.errors import RunError
from usrn_keras.report.scores import Scores, none_for_nan

if TYPE_CHECKING:
    from rich.table import Table

RARE = "*"  # an asterisk survives every terminal, font and Markdown reader
MEANS: dict[str, Callable[[Scores], float]] = {
    "mIoU": lambda scores: scores.miou,
    f"mIoU of rare classes {RARE}": lambda scores: scores.rare_miou,
    "pixel accuracy": lambda scores: scores.pixel_accuracy,
    "mean class accuracy": lambda scores: scores.mean_accuracy,
}


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
        faults = [
            f"{other.name}: {', '.join(other.classes)}"
            for other in scores
            if other.classes != scores[0].classes
        ]
        if faults:
            message = f"only runs of the same classes can be compared; {scores[0].name} has "
            raise RunError(message + ", ".join(scores[0].classes), faults=faults)
        self.scores = tuple(scores)

    @property
    def header(self) -> list[str]:
        return ["class", "pixels %", *(scores.name for scores in self.scores)]

    def class_rows(self) -> list[list[str]]:
        """One row per class, sorted by its share of the pixels: name, share, then IoU in percent."""
        first = self.scores[0]
        order = np.argsort(-first.pixels, kind="stable")
        ious = [scores.iou for scores in self.scores]
        return [
            [
                first.classes[i] + (f" {RARE}" if first.rare[i] else ""),
                _percent(first.pixel_share[i]) if first.present[i] else "absent",
                *_cells([iou[i] for iou in ious]),
            ]
            for i in order
        ]

    def mean_rows(self) -> list[list[str]]:
        """mIoU and the other means, in percent."""
        return [[name, "", *_cells([mean(one) for one in self.scores])] for name, mean in MEANS.items()]

    def notes(self) -> list[str]:
        """What a reader must know to read the table rightly."""
        notes = ["IoU in percent."]
        if self.scores[0].rare.any():
            notes.append(f"{RARE} rare: a smaller share of the pixels than the median class.")
        if not self.scores[0].present.all():
            notes.append("Absent classes have no pixel here and are left out of the means.")
        if len(self.scores) > 1:
            notes.append(f"In parentheses: the difference to {self.scores[0].name}.")
        if any((other.pixels != self.scores[0].pixels).any() for other in self.scores):
            notes.append("The runs were evaluated on different pixels: their figures do not compare.")
        return notes

    def markdown(self) -> str:
        """The table in GitHub's Markdown."""
        rule = [":--", *["--:"] * (len(self.header) - 1)]
        rows = [list(map(_escaped, row)) for row in (self.header, *self.class_rows())]
        means = [[f"**{_escaped(name)}**", *rest] for name, *rest in self.mean_rows()]
        lines = ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:], *means)]
        return "\n".join([*lines, "", _escaped(" ".join(self.notes()))])

    def rich(self) -> Table:
        """The table for a terminal."""
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=Text(" ".join(self.notes())), caption_justify="left")
        for i, name in enumerate(self.header):
            table.add_column(Text(name), justify="right" if i else "left")
        for row in self.class_rows():
            table.add_row(*map(Text, row))
        table.add_section()
        for row in self.mean_rows():
            table.add_row(*map(Text, row), style="bold")
        return table

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values, fractions in 0..1, classes in their own order."""
        first = self.scores[0]
        return {
            "classes": list(first.classes),
            "pixel_share": [none_for_nan(share) for share in first.pixel_share],
            "rare": first.rare.tolist(),
            "absent": (~first.present).tolist(),
            "runs": [scores.to_json() for scores in self.scores],
        }


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
