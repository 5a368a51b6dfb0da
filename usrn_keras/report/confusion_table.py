"""The confusion matrix as a shaded table of a page, and the largest confusions in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from usrn_keras.metrics import Scores
from usrn_keras.report.comparison import RARE
from usrn_keras.report.confusion_chart import SHOWN, confusion_png, shares_of_labels
from usrn_keras.report.page import Page
from usrn_keras.report.page_parts import ShadedCell

MOST_CLASSES = 40  # of a table; of more classes the picture is shown
RIGHT, WRONG = (8, 81, 156), (166, 54, 3)  # darkest shades; their text is white
NAMED = 5  # confusions
LEAST = 0.1  # share of the pixels of a class


def confusion_section(page: Page, scores: Scores) -> None:
    """Add the section of a confusion matrix."""
    page.section(
        "Confusion matrix",
        f"Each row shows what {scores.name} predicts for the pixels of a class, in percent: correct pixels "
        "are blue, errors orange. Classes go from the most frequent to the rarest.",
    )
    if len(scores.classes) > MOST_CLASSES:
        page.figure(confusion_png(scores), f"Confusion matrix of {scores.name}")
    else:
        order = np.argsort(-scores.pixels, kind="stable")
        names = [scores.classes[i] + (f" {RARE}" if scores.rare[i] else "") for i in order]
        page.matrix("label", names, list(confusion_cells(scores, order)))
    if confusions := largest_confusions(scores):
        page.text(f"The largest confusions: {'; '.join(confusions)}.")


def confusion_cells(scores: Scores, order: np.ndarray) -> Iterator[list[ShadedCell]]:
    """Yield the cells of each row in percent; shares that round to 0 % are empty.

    Args:
        scores: Scores of C classes.
        order: `(C,)` class ids of the rows and of the columns.
    """
    shares = shares_of_labels(scores)[np.ix_(order, order)]
    for i, row in enumerate(shares):
        yield [_cell(share, i == j) for j, share in enumerate(row.tolist())]


def largest_confusions(scores: Scores) -> list[str]:
    """The errors that take the largest shares of a class: `pole as building 71 %`."""
    shares = shares_of_labels(scores)
    np.fill_diagonal(shares, 0)
    order = np.argsort(-shares, axis=None, kind="stable")[:NAMED]
    found = [divmod(int(place), len(shares)) for place in order]
    return [
        f"{scores.classes[row]} as {scores.classes[column]} {100 * shares[row, column]:.0f} %"
        for row, column in found
        if shares[row, column] >= LEAST
    ]


def _cell(share: float, correct: bool) -> ShadedCell:
    if share < SHOWN:
        return ShadedCell("")
    depth = share if correct else share**0.5  # errors are many and small
    return ShadedCell(f"{100 * share:.0f}", RIGHT if correct else WRONG, depth)
