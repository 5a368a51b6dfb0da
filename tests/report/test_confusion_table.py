from __future__ import annotations

import numpy as np
import pytest

from tests.report.test_page import Reader
from usrn_keras.metrics import Scores
from usrn_keras.report.confusion_table import (
    MOST_CLASSES,
    confusion_cells,
    confusion_section,
    largest_confusions,
)
from usrn_keras.report.page import Page
from usrn_keras.report.page_parts import luminance

SCORES = Scores("USRN", ("pole", "road", "train"), [[2, 8, 0], [1, 99, 0], [0, 0, 0]])
ORDER = np.array([1, 0, 2])
WHITE, DARK = (255, 255, 255), (0x15, 0x17, 0x1A)  # backgrounds of a page


def test_rows_are_percent_of_the_label_in_the_given_order():
    cells = list(confusion_cells(SCORES, ORDER))
    assert [[cell.text for cell in row] for row in cells] == [["99", "1", ""], ["80", "20", ""], ["", "", ""]]
    (right, wrong, nothing) = cells[0]
    assert right.colour[2] > right.colour[0] and wrong.colour[0] > wrong.colour[2]
    assert right.depth == 0.99 and wrong.depth == 0.1 and nothing.depth == 0


def test_every_text_can_be_read_on_its_shade():
    shares = np.linspace(0.005, 1, 200)
    for share in shares:
        confusion = (1e6 * np.array([[share, 1 - share], [1 - share, share]])).astype(int)
        for row in confusion_cells(Scores("A", ("a", "b"), confusion), np.arange(2)):
            for cell in row:
                ink = (0, 0, 0) if cell.ink == "#000" else WHITE
                assert contrast(ink, cell.background(WHITE)) >= 4.5, cell
                assert contrast(WHITE, cell.background(DARK)) >= 4.5, cell


def contrast(*colours: tuple[int, int, int]) -> float:
    dark, light = sorted(map(luminance, colours))
    return (light + 0.05) / (dark + 0.05)


def test_the_largest_confusions_are_named():
    assert largest_confusions(SCORES) == ["pole as road 80 %"]


@pytest.mark.parametrize("classes", [2, 21, MOST_CLASSES, MOST_CLASSES + 1])
def test_many_classes_are_a_picture_and_others_a_table(classes):
    page = Page("runs/a")
    names = [f"class <{i}>" for i in range(classes)]
    confusion_section(page, Scores("A", names, 100 * np.eye(classes, dtype=int)))
    read = Reader(page.html())
    assert bool(read.all("img")) == (classes > MOST_CLASSES)
    if classes <= MOST_CLASSES:
        assert [text for _, text in read.all("td")].count("100") == classes
        assert len(read.all("td")) == classes**2
        assert {attributes["scope"] for attributes, _ in read.all("th")} == {"row", "col"}
