"""The sizes of the classes before the clustering, and of the subclasses after it, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.report.clusters import ClusterReport
from usrn_keras.report.figure import figure_png, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES = (10.0, 7.0)
DPI = 110
NEAREST_NAMES = 0.03  # of the width: names under the bars are not set closer


def size_chart_png(report: ClusterReport, palette: np.ndarray) -> bytes:
    """A PNG file with two bar charts on one logarithmic axis, the share of the labelled pixels.

    Above: the classes, the most frequent first. Below: their subclasses in the same order and
    colours, and as dots the sizes that plain k-means gives, where it was measured.

    Args:
        report: The figures.
        palette: (C, 3) uint8 RGB, the colours of the classes.
    """
    with new_figure(INCHES, DPI) as figure:
        _draw(figure, report, palette / 255.0)
        return figure_png(figure)


def _draw(figure: Figure, report: ClusterReport, colours: np.ndarray) -> None:
    made = report.subclasses
    order = [class_id for class_id in report.order() if made.counts[class_id]]
    above, below = figure.subplots(2, 1, sharey=True)
    rates = {key: f"{100 * rate:.1f} %" for key, rate in report.rates.items() if rate is not None}
    _draw_classes(above, report, order, colours)
    absent = len(made.classes) - len(order)
    classes = f"{len(order)} classes" + (f" and {absent} without a pixel" if absent else "")
    above.set_title(f"Before: {classes}, class balance rate {rates['original']}")
    _draw_subclasses(below, report, order, colours)
    kind = "subclasses of equal size" if "balanced" in rates else "subclasses by plain k-means"
    rate = rates.get("balanced", rates.get("plain"))
    below.set_title(f"After: {made.total} {kind}, class balance rate {rate}")
    if report.plain is not None and "balanced" in rates:
        below.legend([f"plain k-means, class balance rate {rates['plain']}"], loc="upper right")
    for axes in (above, below):
        axes.set_yscale("log")
        axes.set_ylabel("share of labelled pixels")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
        axes.grid(axis="y", alpha=0.4)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)


def _draw_classes(axes: Axes, report: ClusterReport, order: list[int], colours: np.ndarray) -> None:
    made = report.subclasses
    share = made.pixels[order] / made.pixels.sum()
    axes.bar(range(len(order)), share, color=colours[order], edgecolor="black", linewidth=0.6)
    names = [made.classes[class_id] for class_id in order]
    axes.set_xticks(range(len(order)), names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(order) - 0.4)


def _draw_subclasses(axes: Axes, report: ClusterReport, order: list[int], colours: np.ndarray) -> None:
    made, total = report.subclasses, report.subclasses.total
    owner = np.repeat(order, made.counts[order])
    share = _shares(report, made.sizes, order)
    # The dots come first: the legend names the first thing that is drawn.
    if report.plain is not None and report.assignment != "free":
        shares = _shares(report, report.plain, order)
        axes.plot(range(total), shares, "o", color="black", markersize=4, markeredgecolor="white", mew=0.6)
    axes.bar(range(total), share, width=1.0, color=colours[owner], edgecolor="white", linewidth=0.2)
    starts = np.cumsum(made.counts[order]) - made.counts[order]
    centres, names = [], []
    for class_id, centre in zip(order, starts + (made.counts[order] - 1) / 2, strict=True):
        if not centres or centre - centres[-1] >= NEAREST_NAMES * total:
            centres.append(centre)
            names.append(f"{made.classes[class_id]} ({made.counts[class_id]})")
    axes.set_xticks(centres, names, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, total - 0.4)


def _shares(report: ClusterReport, sizes: np.ndarray, order: list[int]) -> np.ndarray:
    """(K,) sizes as shares of all, class by class in the given order, the largest first in each."""
    made = report.subclasses
    pixels = made.in_label_pixels(np.asarray(sizes))
    parts = [np.sort(pixels[made.of_class(class_id)])[::-1] for class_id in order]
    return np.concatenate(parts) / made.pixels.sum()
