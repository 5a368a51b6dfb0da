"""Curves over the steps of training, sized for a phone: one chart of lines, or a small one per class."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.report.figure import figure_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Distinguishable for the colour-blind, too (Okabe and Ito), and by their dashes.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#000000", "#cc79a7")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), (0, (3, 3)))
WIDTH = 4.6  # inches: 331 points, about the width of a phone in pixels, so that letters keep their size
HEIGHT = 2.9
TEXT, SMALL = 10.5, 9  # points
MOST_POINTS = 250  # of a line; more would be noise
COLUMNS = 3  # small charts beside each other
ROW = 1.12  # inches
LONGEST_NAME = 16  # characters
LONGEST_LINE = 38  # characters of a line of a legend
ROUND = (1, 2, 5, 10)  # steps between the numbers of an axis, times a power of ten
INK, PALE = "#222222", "#9a9a9a"


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart.

    Args:
        name: Name of the line in the legend.
        steps: `(n,)` steps of training.
        values: `(n,)` floats, NaN where there is no value.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray

    def known(self) -> bool:
        """Whether there is a value to draw."""
        return bool(np.isfinite(self.values).any())


def recorded(records: Iterable[Mapping[str, float]], key: str, name: str, *, means: bool = True) -> Line:
    """Read the values of a key from the records of a training stage; records without it are skipped.

    Args:
        records: Records of the stage, each with its `step`.
        key: Key of the values.
        name: Name of the line.
        means: Whether each value is a mean over the steps since the previous record. A value over few
            steps, as before a checkpoint, is noisy and is averaged into the next one.

    Example:

    >>> line = recorded([{"step": step, "loss": step / 8} for step in (1, 20, 40, 42, 60)], "loss", "F")
    >>> line.steps.tolist()
    [1.0, 20.0, 40.0, 60.0]
    """
    known = [(record["step"], record[key]) for record in records if key in record]
    steps, values = np.array(known, dtype=np.float64).reshape(-1, 2).T
    if not means or len(steps) < 3:
        return Line(name, steps, values)
    windows = np.diff(steps, prepend=0)
    shortest = np.median(windows) / 2
    ends = [0]  # the first record covers the first step alone
    for i in range(1, len(steps)):
        if steps[i] - steps[ends[-1]] >= shortest:
            ends.append(i)
    parts = np.minimum(np.searchsorted(ends, np.arange(len(steps))), len(ends) - 1)
    sums = np.bincount(parts, windows * values) / np.bincount(parts, windows)
    return Line(name, steps[ends], sums)


@dataclass(frozen=True, eq=False)
class Panel:
    """A small chart of one line, drawn in `colour`, RGB in 0..255, or in dark grey."""

    line: Line
    colour: Sequence[int] | None


def line_chart_svg(lines: Sequence[Line], *, unit: str = "", percent: bool = False) -> bytes:
    """Draw up to five lines over the steps of training as an SVG file.

    Args:
        lines: The lines, at least one of them with a value; long ones are smoothed.
        unit: Unit of the values, written above the axis.
        percent: Whether to show the values, shares in 0..1, in percent.

    Example:

    >>> line_chart_svg([Line("loss", np.array([1, 2]), np.array([0.5, 0.25]))])[:5]
    b'<?xml'
    """
    with new_figure((WIDTH, HEIGHT), dpi=72) as figure:
        axes = figure.subplots()
        for line, colour, dash in zip(lines, COLOURS, DASHES, strict=False):
            steps, values = smoothed(line.steps, line.values)
            marker = "o" if len(steps) <= 15 else None
            axes.plot(
                steps,
                values,
                ls=dash,
                color=colour,
                label=line.name,
                lw=2,
                marker=marker,
                ms=4,
                clip_on=False,
            )
        _scale(axes, lines, percent)
        axes.set_xlabel("step of training", fontsize=TEXT, color=INK)
        axes.set_title(unit, loc="left", fontsize=TEXT, color=INK)
        if len(lines) > 1:
            _legend(figure)
        return figure_svg(figure)


def panels_svg(panels: Sequence[Panel], *, percent: bool = True, top: float | None = None) -> bytes:
    """Draw small charts that share their axes, three in a row, as an SVG file.

    The line of the first panel is repeated in all others, thin and grey, for comparison.

    Args:
        panels: One or more charts, each headed by the name of its line.
        percent: Whether to show the values, shares in 0..1, in percent.
        top: Upper end of the value axis; None: the largest value.
    """
    rows = -(-len(panels) // COLUMNS)
    every = [panel.line for panel in panels]
    height = ROW * rows + 0.45
    # A constrained layout of many axes takes seconds.
    with new_figure((WIDTH, height), dpi=72, layout="none") as figure:
        figure.subplots_adjust(0.115, 0.42 / height, 0.985, 1 - 0.25 / height, 0.1, 0.42)
        grid = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(panels):
                axes.set_visible(False)
                continue
            _draw_panel(axes, panels[place], panels[0].line if place else None)
            _scale(axes, every, percent, top, size=SMALL)
            axes.set_xticks([tick for tick in axes.get_xticks() if tick <= 0.86 * axes.get_xlim()[1]])
            axes.tick_params(labelbottom=place + COLUMNS >= len(panels), labelleft=place % COLUMNS == 0)
        figure.supxlabel("step of training", fontsize=TEXT, color=INK, y=0.02 / rows)
        return figure_svg(figure)


def smoothed(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reduce a line to at most `MOST_POINTS` points, each the mean of an equal number of neighbours.

    Example:

    >>> steps, values = smoothed(np.arange(500), np.arange(500) % 2)
    >>> steps[:2].tolist(), values[:2].tolist()
    ([0.5, 2.5], [0.5, 0.5])
    """
    together = -(-len(steps) // MOST_POINTS)
    if together <= 1:
        return np.asarray(steps), np.asarray(values)
    parts = range(0, len(steps), together)
    means = [[np.mean(array[start : start + together]) for start in parts] for array in (steps, values)]
    return np.array(means[0]), np.array(means[1])


def _legend(figure: Figure) -> None:
    """Name the lines above the chart, in two columns where the names fit and in one, wrapped, where not.

    Matplotlib does not fit a legend into its figure: a long name would be cut off.
    """
    handles, names = figure.axes[0].get_legend_handles_labels()
    for columns, wrapped in ((2, names), (1, [textwrap.fill(name, LONGEST_LINE) for name in names])):
        legend = figure.legend(
            handles, wrapped, loc="outside upper left", ncols=columns, fontsize=TEXT, frameon=False,
            handlelength=2.6,
        )  # fmt: skip
        if columns == 1 or legend.get_window_extent(figure.canvas.get_renderer()).width <= figure.bbox.width:
            return
        legend.remove()


def _draw_panel(axes: Axes, panel: Panel, reference: Line | None) -> None:
    if reference is not None:
        axes.plot(reference.steps, reference.values, color=PALE, lw=1)
    colour = INK if panel.colour is None else tuple(part / 255 for part in panel.colour)
    steps, values = panel.line.steps, panel.line.values
    # Pale colours would be lost on a pale background, so the line is drawn over a darker one.
    whole = {"solid_capstyle": "round", "clip_on": False}  # at 0 and 100 %, too
    axes.plot(steps, values, color=INK, lw=2.8, **whole)
    axes.plot(steps, values, color=colour, lw=1.8, **whole)
    alone = _alone(values)
    axes.plot(steps[alone], values[alone], "o", color=colour, ms=4, mec=INK, mew=0.6, clip_on=False)
    fits = len(panel.line.name) <= LONGEST_NAME
    title = panel.line.name if fits else panel.line.name[: LONGEST_NAME - 1] + "…"
    axes.set_title(title, fontsize=SMALL + 0.5, color=INK, pad=3)
    if not panel.line.known():
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", fontsize=SMALL, color=PALE)


def _alone(values: np.ndarray) -> np.ndarray:
    """`(n,)` bool, the values without a neighbour, which a line does not show."""
    known = np.pad(np.isfinite(values), 1)
    return known[1:-1] & ~known[:-2] & ~known[2:]


def _scale(
    axes: Axes, lines: Sequence[Line], percent: bool, top: float | None = None, size: float = TEXT
) -> None:
    """Axes that begin at 0, with few and readable numbers."""
    from matplotlib.ticker import MaxNLocator

    highest = max((float(np.nanmax(line.values)) for line in lines if line.known()), default=0.0)
    last = max((float(line.steps[-1]) for line in lines if len(line.steps)), default=1.0)
    end = top or 1.06 * highest or 1.0
    axes.set_ylim(0, min(end, 1.03) if percent else end)
    axes.set_xlim(0, last * 1.02 or 1.0)
    few = 3 if size == SMALL else 5
    axes.xaxis.set_major_locator(MaxNLocator(few, steps=ROUND, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(few, steps=ROUND))
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %" if percent else f"{value:g}")
    axes.tick_params(labelsize=size, colors=INK, length=3)
    axes.grid(axis="y", color=PALE, alpha=0.35, lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _short(value: float) -> str:
    """Format `1500` as it is and `60000` as `60k`."""
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"
