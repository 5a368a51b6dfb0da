"""Bar charts of the sizes of the classes before clustering and of the subclasses after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.report.cluster_report import ClusterReport
from usrn_keras.report.figure import figure_png, figure_svg, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (10.0, 7.0)
DPI = 110
NEAREST_NAMES = 0.03  # share of the width: names under the bars are not drawn closer to each other
NARROW = (4.6, 3.3)  # inches of a chart on a phone
NEAREST_NARROW = 0.065


def size_chart_png(report: ClusterReport, palette: np.ndarray) -> bytes:
    """Draw two bar charts on one logarithmic axis, the share of the labelled pixels, as a PNG file.

    Above: the classes, the most frequent first. Below: their subclasses in the same order and
    colours, and as dots the sizes that plain k-means gives, if it was measured.

    Args:
        report: Subclasses of the run.
        palette: (C, 3) uint8 RGB, the colours of the classes.
    """
    with new_figure(INCHES, DPI) as figure:
        _draw(figure, report, palette / 255.0)
        return figure_png(figure)


def size_charts_svg(report: ClusterReport, palette: np.ndarray) -> list[tuple[bytes, str]]:
    """Draw the same two charts as SVG files for a narrow page, each with a sentence that describes it.

    Args:
        report: Subclasses of the run.
        palette: (C, 3) uint8 RGB, the colours of the classes.
    """
    found, colours = report.subclasses, palette / 255.0
    order = _present(report)
    smallest = min(found.in_label_pixels(found.sizes).min(), found.pixels[order].min()) / found.pixels.sum()
    charts = []
    for title, draw in ((_title_before(report), _draw_classes), (_title_after(report), _draw_subclasses)):
        with new_figure(NARROW, dpi=72) as figure:
            axes = figure.subplots()
            draw(axes, report, order, colours, NEAREST_NARROW)
            axes.set_title(title.replace(", ", "\n"), loc="left", fontsize=10)
            _share_axis(axes)
            axes.set_ylim(smallest / 2, 1)
            if axes.lines:
                axes.legend([_plain_name(report)], loc="upper right", fontsize=8.5)
            charts.append((figure_svg(figure), title))
    return charts


def _draw(figure: Figure, report: ClusterReport, colours: np.ndarray) -> None:
    order = _present(report)
    above, below = figure.subplots(2, 1, sharey=True)
    _draw_classes(above, report, order, colours)
    above.set_title(_title_before(report))
    _draw_subclasses(below, report, order, colours)
    below.set_title(_title_after(report))
    if below.lines:
        below.legend([_plain_name(report)], loc="upper right")
    for axes in (above, below):
        _share_axis(axes)


def _present(report: ClusterReport) -> list[int]:
    """The classes that have pixels, from the most frequent to the rarest."""
    return [class_id for class_id in report.order() if report.subclasses.counts[class_id]]


def _title_before(report: ClusterReport) -> str:
    present = len(_present(report))
    absent = len(report.subclasses.classes) - present
    classes = f"{present} classes" + (f" and {absent} without a pixel" if absent else "")
    return f"Before: {classes}, class balance rate {_rate(report, 'original')}"


def _title_after(report: ClusterReport) -> str:
    balanced = report.rates["balanced"] is not None
    words = report.size_words()
    separator = " " if words.startswith("of") else ", "
    kind = f"subclasses{separator}{words}" if balanced else "subclasses by plain k-means"
    rate = _rate(report, "balanced" if balanced else "plain")
    return f"After: {report.subclasses.total} {kind}, class balance rate {rate}"


def _plain_name(report: ClusterReport) -> str:
    return f"plain k-means, class balance rate {_rate(report, 'plain')}"


def _rate(report: ClusterReport, key: str) -> str:
    return f"{100 * report.rates[key]:.1f} %"


def _share_axis(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.set_ylabel("share of labelled pixels")
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    axes.grid(axis="y", alpha=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_classes(
    axes: Axes, report: ClusterReport, order: list[int], colours: np.ndarray, nearest: float = NEAREST_NAMES
) -> None:
    found = report.subclasses
    share = found.pixels[order] / found.pixels.sum()
    axes.bar(range(len(order)), share, color=colours[order], edgecolor="black", linewidth=0.6)
    names = [found.classes[class_id] for class_id in order]
    every = -(-nearest * len(order) // 1)  # of many classes some are named
    axes.set_xticks(
        range(0, len(order), int(every)),
        names[:: int(every)],
        rotation=35,
        ha="right",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.6, len(order) - 0.4)


def _draw_subclasses(
    axes: Axes, report: ClusterReport, order: list[int], colours: np.ndarray, nearest: float = NEAREST_NAMES
) -> None:
    found, total = report.subclasses, report.subclasses.total
    owner = np.repeat(order, found.counts[order])
    share = _shares(report, found.sizes, order)
    # The dots come first: the legend names the first thing that is drawn.
    if report.plain is not None and report.assignment != "free":
        shares = _shares(report, report.plain, order)
        axes.plot(range(total), shares, "o", color="black", markersize=4, markeredgecolor="white", mew=0.6)
    axes.bar(range(total), share, width=1.0, color=colours[owner], edgecolor="white", linewidth=0.2)
    starts = np.cumsum(found.counts[order]) - found.counts[order]
    centres, names = [], []
    for class_id, centre in zip(order, starts + (found.counts[order] - 1) / 2, strict=True):
        if not centres or centre - centres[-1] >= nearest * total:
            centres.append(centre)
            names.append(f"{found.classes[class_id]} ({found.counts[class_id]})")
    axes.set_xticks(centres, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, total - 0.4)


def _shares(report: ClusterReport, sizes: np.ndarray, order: list[int]) -> np.ndarray:
    """(K,) sizes as shares of all, class by class in the given order, the largest first in each."""
    found = report.subclasses
    pixels = found.in_label_pixels(np.asarray(sizes))
    parts = [np.sort(pixels[found.of_class(class_id)])[::-1] for class_id in order]
    return np.concatenate(parts) / found.pixels.sum()
