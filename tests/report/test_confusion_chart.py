from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from PIL import Image

from usrn_keras.metrics import Provenance, Scores
from usrn_keras.report import confusion_chart
from usrn_keras.report.confusion_chart import confusion_csv, confusion_png

SCORES = Scores(
    "runs/A",
    ["pole", "road, wet", "train"],
    [[2, 8, 0], [1, 95, 4], [0, 0, 0]],
    provenance=Provenance("camvid", "val", 101, "4d51ba8f", "whole", "last"),
)


def drawn(scores: Scores):
    """The axes that the picture is drawn on."""
    from matplotlib.figure import Figure

    order = np.argsort(-scores.pixels, kind="stable")
    axes = Figure().subplots()
    confusion_chart._draw_cells(axes, confusion_chart.shares_of_labels(scores)[np.ix_(order, order)])
    confusion_chart._draw_names(axes, scores, order, [confusion_chart._name(scores, i) for i in order])
    return axes


def test_csv_holds_the_counts_in_the_classes_own_order():
    lines = confusion_csv(SCORES).splitlines()
    rows = list(csv.reader(line for line in lines if not line.startswith("#")))
    assert rows[0] == ["label", *SCORES.classes]
    assert [row[0] for row in rows[1:]] == list(SCORES.classes)
    np.testing.assert_array_equal(np.array([row[1:] for row in rows[1:]], int), SCORES.confusion)
    assert lines[-1] == f"# {SCORES.provenance.line()}"


def test_rows_are_percent_of_the_label_from_the_most_frequent_class():
    axes = drawn(SCORES)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["road, wet", "pole *", "train"]
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "95", (1, 0): "1", (2, 0): "4", (0, 1): "80", (1, 1): "20"}


def test_found_is_blue_confused_is_orange_and_nothing_is_white():
    (picture,) = drawn(SCORES).images
    red, _, blue, _ = np.moveaxis(picture.get_array(), -1, 0)
    assert (blue > red)[[0, 1], [0, 1]].all()
    assert (red > blue)[[0, 0, 1], [1, 2, 0]].all()
    assert (picture.get_array()[2] == 1).all()  # the absent class


def test_the_right_axis_has_the_iou():
    (right,) = drawn(SCORES).child_axes
    assert [tick.get_text() for tick in right.get_yticklabels()] == ["88", "18", "absent"]


def test_numbers_stand_out_from_their_cells():
    axes = drawn(Scores("A", ["a", "b"], [[99, 1], [80, 20]]))
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours == {"99": "white", "1": "black", "80": "white", "20": "black"}


@pytest.mark.parametrize("classes", [1, 2, 60])
def test_any_number_of_classes_gives_cells_that_can_be_read(classes):
    names = [f"$a rather_long name {i}$ with more" for i in range(classes)]
    scores = Scores("runs/" + "x" * 300, names, np.eye(classes, dtype=int), provenance=SCORES.provenance)
    picture = Image.open(io.BytesIO(confusion_png(scores)))
    assert min(picture.size) >= classes * confusion_chart.SMALLEST_CELL * confusion_chart.DPI
    assert max(picture.size) <= 3000


def test_hundreds_of_classes_are_colours_alone_in_a_picture_of_the_same_size():
    axes = drawn(Scores("A", [str(i) for i in range(101)], np.eye(101, dtype=int)))
    assert not axes.texts and not axes.get_yticklabels()
    assert 1000 * confusion_chart._cell(1000) == pytest.approx(100 * confusion_chart._cell(100))


def test_without_a_pixel_there_is_still_a_picture():
    assert confusion_png(Scores("A", ["a", "b"], np.zeros((2, 2), int)))[1:4] == b"PNG"
