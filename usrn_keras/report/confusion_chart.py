"""The confusion matrix as a heat map and as CSV."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.metrics.scores import Scores
from usrn_keras.report.comparison import RARE
from usrn_keras.report.figure import figure_png, new_figure
from usrn_keras.report.text_tables import csv_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 110
CELL = 0.42  # inches, up to FULL_SIZE classes; above them cells shrink
FULL_SIZE = 30
SMALLEST_CELL = 0.3
LEGIBLE = 100  # with more classes, only colours are drawn, in a picture of the same size
LONGEST_NAME = 24  # characters
RIGHT, WRONG, NOTHING = "Blues", "Oranges", "#eeeeee"
SHOWN = 0.005  # shares that round to 0 % are left without a number
DARK = 0.55  # numbers on darker cells are white


def confusion_png(scores: Scores) -> bytes:
    """Draw the confusion matrix as a heat map, each row in percent of its class's pixels, as a PNG file.

    Rows are the classes of the labels, columns those of the prediction, from the most frequent to the
    rarest (`*`: rare classes). The diagonal (correct pixels) is blue. Errors are orange, on a square-root
    scale, since a class is usually confused with many others by a few percent each.

    Args:
        scores: Scores of one or more classes; up to 100 are drawn with names and numbers.
    """
    order = np.argsort(-scores.pixels, kind="stable")
    side = len(order) * _cell(len(order))
    names = [_name(scores, i) for i in order]
    margin = 0.09 * max(map(len, names)) + 0.6
    with new_figure((max(side + margin + 0.9, 5.0), side + 0.8 * margin + 1.3), DPI) as figure:
        axes = figure.subplots()
        _draw_cells(axes, shares_of_labels(scores)[np.ix_(order, order)])
        _draw_names(axes, scores, order, names)
        figure.suptitle(_title(scores, width=int(11 * figure.get_figwidth())), fontsize=10)
        return figure_png(figure)


def confusion_csv(scores: Scores) -> str:
    """The counted pixels as CSV: a row for each class of the labels, a column for each predicted class."""
    rows = [[name, *counts] for name, counts in zip(scores.classes, scores.confusion.tolist(), strict=True)]
    notes = ["pixels; rows: label, columns: prediction"]
    notes += [scores.provenance.line()] if scores.provenance else []
    return csv_text([["label", *scores.classes], *rows], notes)


def _name(scores: Scores, class_id: int) -> str:
    name = scores.classes[class_id]
    name = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return f"{name} {RARE}" if scores.rare[class_id] else name


def _title(scores: Scores, width: int) -> str:
    means = f"mIoU {100 * scores.miou:.1f} %, pixel accuracy {100 * scores.pixel_accuracy:.1f} %"
    lines = [f"{scores.name}: {means}", *([scores.provenance.line()] if scores.provenance else [])]
    return "\n".join(textwrap.fill(line, width) for line in lines)


def _cell(classes: int) -> float:
    """Side of a cell in inches."""
    if classes > LEGIBLE:
        return SMALLEST_CELL * LEGIBLE / classes
    return max(SMALLEST_CELL, CELL * min(1.0, FULL_SIZE / classes))


def shares_of_labels(scores: Scores) -> np.ndarray:
    """(C, C) share of the class of each row, 0 in the rows of absent classes."""
    return scores.confusion / np.maximum(scores.pixels, 1)[:, None]


def _draw_cells(axes: Axes, shares: np.ndarray) -> None:
    from matplotlib import colormaps

    diagonal = np.eye(len(shares), dtype=bool)
    depth = np.where(diagonal, 0.9 * shares, 0.85 * np.sqrt(shares))
    picture = np.where(diagonal[..., None], colormaps[RIGHT](depth), colormaps[WRONG](depth))
    picture[shares < SHOWN] = (1, 1, 1, 1)
    axes.imshow(picture)
    if len(shares) > LEGIBLE:
        return
    size = 72 * _cell(len(shares)) * 0.3
    for row, column in np.argwhere(shares >= SHOWN):
        number, colour = f"{100 * shares[row, column]:.0f}", "white" if depth[row, column] > DARK else "black"
        axes.text(column, row, number, ha="center", va="center", fontsize=size, color=colour)


def _draw_names(axes: Axes, scores: Scores, order: np.ndarray, names: list[str]) -> None:
    axes.set_xlabel("prediction")
    axes.set_ylabel("label (each row is 100 % of its pixels)" if len(order) > 5 else "label")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if len(order) > LEGIBLE:
        axes.set(xticks=[], yticks=[])
        return
    size = min(9.0, 72 * _cell(len(order)) * 0.38)
    places = range(len(order))
    axes.set_xticks(places, names, rotation=55, ha="right", rotation_mode="anchor", fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.set_xticks(np.arange(len(order) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(order) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color=NOTHING, linewidth=1)
    axes.tick_params(which="minor", length=0)
    ious = [f"{100 * scores.iou[i]:.0f}" if scores.present[i] else "absent" for i in order]
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, ious, fontsize=size)
    right.set_ylabel("IoU %")
    right.tick_params(length=0)
    right.spines[:].set_visible(False)
