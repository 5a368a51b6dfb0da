"""A table as one HTML page: the table, each seed as a dot, and the IoU of every class."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from usrn_keras.progress import duration
from usrn_keras.report.figure import figure_png, new_figure
from usrn_keras.report.page import Page
from usrn_keras.sweeps.render import cell, footnotes, grid
from usrn_keras.sweeps.result import TableResult
from usrn_keras.sweeps.spec import IOU, find_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOTTED = ("miou", "rare_miou")
COLOURS = ("#0072b2", "#d55e00")  # of Okabe and Ito, distinguishable by everyone
DPI = 110


def as_html(result: TableResult) -> str:
    """The page of a table, HTML that needs no other file."""
    spec = result.plan.spec
    page = Page(f"{spec.title}: {result.plan.recipe}", result.provenance)
    page.section("Table", spec.about)
    page.table(*grid(result))
    page.text("\n\n".join(footnotes(result)[1:]))
    for name, why in result.failures.items():
        page.note(f"{name} failed: {why}")
    if result.frame.empty:
        return page.html()
    splits = [split for split in result.plan.splits if _rows(result, split)]
    page.section(
        "Seeds", "Each dot is a run, each bar the mean of a row. Rows overlap where seeds differ more."
    )
    for split in splits:
        page.figure(_dots(result, split), _alt(result, split), _named(split))
    page.section(
        "Classes",
        f"IoU of each class in percent; in parentheses the difference to {spec.reference}, seed by seed. The "
        "rarest class is the last.",
    )
    found = result.frame["figure"].unique()
    classes = [name.removeprefix(IOU) for name in found if name.startswith(IOU)]
    for split in splits:
        rows = _rows(result, split)
        cells = [[name, *(_class_cell(result, row, split, name) for row in rows)] for name in classes]
        page.table(["class", *rows], cells, _named(split))
    page.section("Runs", "The folder of each run, and how long its last stage trained.")
    runs = result.frame.drop_duplicates("run", keep="last").sort_values("run")
    cells = [[run.run, str(run.seed), duration(run.seconds)] for run in runs.itertuples()]
    page.table(["run", "seed", "time"], cells)
    return page.html()


def _class_cell(result: TableResult, row: str, split: str, name: str) -> str:
    """IoU of a class, and that of the paper where it reports one."""
    paper = result.paper_iou(row, split).get(name)
    text = cell(result, row, split, f"{IOU}{name}")
    return text if paper is None else f"{text}; paper {paper:.1f}"


def _rows(result: TableResult, split: str) -> list[str]:
    """Rows that have an mIoU."""
    names = [row.name for row in result.plan.spec.rows]
    return [name for name in names if result.over_seeds(name, split, "miou") is not None]


def _named(split: str) -> str:
    return f"split {split.replace('_', '/')}" if split else ""


def _alt(result: TableResult, split: str) -> str:
    means = [(row, result.over_seeds(row, split, "miou")["mean"]) for row in _rows(result, split)]
    parts = ", ".join(f"{row} {100 * mean:.1f}" for row, mean in means)
    return f"mIoU in percent of each row, {_named(split)}: {parts}"


def _dots(result: TableResult, split: str) -> bytes:
    rows = _rows(result, split)
    with new_figure((8.0, 0.9 + 0.42 * len(rows)), DPI) as figure:
        axes = figure.subplots(1, len(PLOTTED), sharey=True)
        for axis, name, colour in zip(axes, PLOTTED, COLOURS, strict=True):
            lines = result.frame.query("split == @split and figure == @name")
            _draw(axis, [lines.loc[lines["row"] == row, "value"] for row in rows], colour)
            axis.set_xlabel(f"{find_figure(name).title}, %")
        axes[0].set_yticks(range(len(rows)), rows)
        axes[0].invert_yaxis()
        return figure_png(figure)


def _draw(axis: Axes, rows: list[pd.Series], colour: str) -> None:
    """The values of each row, shares in 0..1, on a line of their own."""
    for height, values in enumerate(rows):
        axis.plot(100 * values, np.full(len(values), height), "o", color=colour, alpha=0.75, markersize=6)
        if len(values):
            mean = 100 * values.mean()
            axis.plot([mean, mean], [height - 0.3, height + 0.3], color=colour, linewidth=2.5)
    axis.grid(axis="x", alpha=0.4)
    axis.spines[["top", "right"]].set_visible(False)
