"""The scores of several models in one table: a column each, a row per class, the most frequent first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from usrn_keras.errors import RunError
from usrn_keras.metrics import Scores, none_for_nan
from usrn_keras.report.text_tables import Columns, csv_text, markdown_table

if TYPE_CHECKING:
    from rich.console import Group

RARE = "*"  # an asterisk survives every terminal, font and Markdown reader
MEANS: dict[str, Callable[[Scores], float]] = {
    "mIoU": lambda scores: scores.miou,
    f"mIoU of rare classes {RARE}": lambda scores: scores.rare_miou,
    "pixel accuracy": lambda scores: scores.pixel_accuracy,
    "mean class accuracy": lambda scores: scores.mean_accuracy,
    "frequency-weighted IoU": lambda scores: scores.frequency_weighted_iou,
}
BOUNDARY_MEANS: dict[str, Callable[[Scores], float]] = {"boundary mIoU": lambda scores: scores.boundary_miou}


class Comparison:
    """The scores of several models of the same classes; the first model is the reference of the others.

    Args:
        scores: Scores of one or more models.

    Raises:
        RunError: There are no scores, or their classes differ.

    Example:

    >>> runs = [Scores("supervised", ["road"], [[8]]), Scores("self-training", ["road"], [[8]])]
    >>> print(comparison_markdown(Comparison(runs)).splitlines()[2])
    | road | 100.0 | 100.0 | 100.0 (+0.0) |
    """

    def __init__(self, scores: Sequence[Scores]):
        if not scores:
            raise RunError("there is nothing to compare: no scores were given")
        validate_same_classes([(one.name, one.classes) for one in scores])
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
        """One row per class in this order: name, share of the pixels, then IoU of each model in percent."""
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
        """Reasons why the columns may not be comparable, one line each.

        Different lists alone do not forbid it: runs on 1/8 and 1/4 of the labels have different lists and
        are measured on the same images.
        """
        lines = []
        if any((other.pixels != self.scores[0].pixels).any() for other in self.scores):
            lines.append(
                "Warning: the models were measured on different pixels: their figures do not compare."
            )
        known = [one.provenance.fingerprint for one in self.scores if one.provenance]
        if len(set(known)) > 1:
            named = ", ".join(dict.fromkeys(known))
            lines.append(
                f"Warning: the lists of images differ ({named}): trained or measured on different images."
            )
        return lines

    def notes(self) -> list[str]:
        """Footnotes: how to read the table, warnings, and where the figures come from."""
        return [self._legend(), *self.warnings(), *self._origins()]

    def _legend(self) -> str:
        first = self.scores[0]
        sentences = ["IoU in percent."]
        if first.rare.any():
            sentences.append(f"{RARE} rare: a smaller share of the pixels than the median class.")
        if not first.present.all():
            sentences.append("Absent classes have no pixel here and are left out of the means.")
        if len(self.scores) > 1:
            sentences.append(f"In parentheses: the difference to {first.name}.")
        return " ".join(sentences)

    def _origins(self) -> list[str]:
        """The provenance: one line where all models share it, otherwise one for each model."""
        known = {one.provenance for one in self.scores}
        if known == {None}:
            return []
        if len(known) == 1:
            return [self.scores[0].provenance.line()]
        return [
            f"{one.name}: {one.provenance.line() if one.provenance else 'not recorded'}"
            for one in self.scores
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
        """The comparison that `to_json` wrote; everything is computed again from the counts."""
        return cls([Scores.from_json(scores) for scores in value["runs"]])


def comparison_table(comparison: Comparison) -> Group:
    """The table for a terminal, in several parts below each other where it is too narrow for one."""
    from rich.console import Group
    from rich.text import Text

    table = Columns(comparison.header, [comparison.class_rows(), comparison.mean_rows()], fixed=2)
    return Group(table, *(Text(note) for note in comparison.notes()))


def comparison_markdown(comparison: Comparison) -> str:
    """The table in GitHub's Markdown."""
    rows, means = comparison.class_rows(), comparison.mean_rows()
    return markdown_table(comparison.header, rows, means, comparison.notes())


def comparison_csv(comparison: Comparison) -> str:
    """The figures as CSV, fractions in 0..1: a row for each class and mean, notes as comment lines.

    Columns: `kind` (`class` or `mean`), `name`, `pixels`, `pixel_share`, `rare` (1 or 0), the IoU or mean
    of each model, and a column `MODEL boundary` for each model whose boundaries were measured.
    """
    scores, first = comparison.scores, comparison.scores[0]
    measured = [one for one in scores if one.boundary is not None]
    names = [one.name for one in scores] + [f"{one.name} boundary" for one in measured]
    figures = [*(one.iou for one in scores), *(one.boundary_iou for one in measured)]
    rows: list[list[Any]] = [["kind", "name", "pixels", "pixel_share", "rare", *names]]
    for i in comparison.order():
        share = none_for_nan(first.pixel_share[i])
        values = [none_for_nan(figure[i]) for figure in figures]
        rows.append(["class", first.classes[i], int(first.pixels[i]), share, int(first.rare[i]), *values])
    for name, mean in comparison.means.items():
        values = [none_for_nan(mean(one)) for one in scores]
        rows.append(
            ["mean", name.removesuffix(f" {RARE}"), None, None, None, *values, *[None] * len(measured)]
        )
    return csv_text(rows, comparison.notes())


def validate_same_classes(named: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Raise a `RunError` unless all of `(name, classes)` have the classes of the first."""
    (name, classes), *others = named
    errors = [f"{other}: {', '.join(found)}" for other, found in others if tuple(found) != tuple(classes)]
    if errors:
        message = f"only runs of the same classes can be compared; {name} has {', '.join(classes)}"
        raise RunError(message, errors=errors)


def _cells(values: Sequence[float]) -> list[str]:
    first, *others = values
    return [_percent(first), *(_percent(other) + _difference(other, first) for other in others)]


def _percent(value: float) -> str:
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def _difference(value: float, reference: float) -> str:
    difference = round(100 * (value - reference), 1) + 0.0  # + 0.0 turns -0.0 into 0.0
    return "" if np.isnan(difference) else f" ({difference:+.1f})"
