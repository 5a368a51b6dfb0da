"""A table of runs as one HTML page: the table, each seed as a dot, and what every class gained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.report.figure import figure_png, new_figure
from usrn_keras.report.page import Page
from usrn_keras.sweeps import render as layout
from usrn_keras.sweeps.result import Place, TableResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTTED = ("miou", "rare_miou")
COLOURS = ("#0072b2", "#d55e00")  # of Okabe and Ito: told apart by everyone
DPI = 110


def table_page(result: TableResult) -> str:
    """The page of a table, HTML that needs no other file."""
    page = Page(f"{result.plan.spec.title}: {result.plan.recipe}", result.provenance)
    page.section("Table", result.plan.spec.about)
    header, rows = layout.grid(result)
    page.table(header, rows)
    page.text("\n\n".join(layout.reading(result)[1:]))
    for name, why in result.failures.items():
        page.note(f"{name} failed: {why}")
    if not result.cells:
        return page.html()
    page.section(
        "Seeds", "Each dot is a run, each bar the mean of a row. Rows overlap where seeds differ more."
    )
    for split in result.plan.splits:
        if any(place[1] == split for place in _known(result)):
            page.figure(_dots(result, split), _alt(result, split), _named(split))
    page.section(
        "Classes",
        f"IoU of each class in percent, mean over seeds; in parentheses the difference to "
        f"{result.plan.spec.reference}, seed by seed. The rarest class stands last.",
    )
    for split in result.plan.splits:
        if places := [place for place in _known(result) if place[1] == split]:
            page.table(["class", *(row for row, _ in places)], _class_rows(result, places), _named(split))
    page.section("Runs", "Where each run lies, and how long its last stage trained.")
    page.table(["run", "seed", "minutes"], _runs(result))
    return page.html()


def _known(result: TableResult) -> list[Place]:
    return [place for place in result.places if result.summary(place, "miou") is not None]


def _named(split: str) -> str:
    return f"split {split.replace('_', '/')}" if split else ""


def _dots(result: TableResult, split: str) -> bytes:
    places = [place for place in _known(result) if place[1] == split]
    with new_figure((8.0, 0.9 + 0.42 * len(places)), DPI) as figure:
        axes = figure.subplots(1, len(PLOTTED), sharey=True)
        for axis, name, colour in zip(axes, PLOTTED, COLOURS, strict=True):
            _draw(axis, result, places, name, colour)
        axes[0].set_yticks(range(len(places)), [row for row, _ in places])
        axes[0].invert_yaxis()
        return figure_png(figure)


def _draw(axis: Axes, result: TableResult, places: Sequence[Place], name: str, colour: str) -> None:
    for height, place in enumerate(places):
        values = [100 * value for value in result.values(place, name)]
        axis.plot(values, [height] * len(values), "o", color=colour, alpha=0.75, markersize=6)
        if values:
            mean = float(np.mean(values))
            axis.plot([mean, mean], [height - 0.3, height + 0.3], color=colour, linewidth=2.5)
    axis.set_xlabel(f"{layout.TITLES[name]}, %")
    axis.grid(axis="x", alpha=0.4)
    axis.spines[["top", "right"]].set_visible(False)


def _alt(result: TableResult, split: str) -> str:
    parts = []
    for place in _known(result):
        if place[1] == split:
            parts.append(f"{place[0]} {100 * result.summary(place, 'miou').mean:.1f}")
    return f"mIoU in percent of each row, {_named(split)}: {', '.join(parts)}"


def _class_rows(result: TableResult, places: Sequence[Place]) -> list[list[str]]:
    columns = [(result.class_means(place), result.class_differences(place)) for place in places]
    return [
        [name, *(_class_cell(means.get(name), differences.get(name)) for means, differences in columns)]
        for name in result.classes
    ]


def _class_cell(mean: float | None, difference: float | None) -> str:
    text = "-" if mean is None else f"{100 * mean:.1f}"
    return text if difference is None else f"{text} ({100 * difference:+.1f})"


def _runs(result: TableResult) -> list[list[str]]:
    found = {}
    for (_, _, seed), cell in result.cells.items():
        found[cell.folder] = [cell.folder, str(seed), f"{cell.seconds / 60:.1f}"]
    return [found[folder] for folder in sorted(found)]
