from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from usrn_keras.report import picture_sheets
from usrn_keras.report.picture_sheets import (
    CELL,
    MOST_WIDTH,
    SMALLEST_TEXT,
    cells_of,
    comparison_png,
    worst_png,
)
from usrn_keras.report.pictures import NO_CLASS, WORSE, PredictedImage

PALETTE = np.array([[10, 20, 30], [200, 0, 100], [0, 0, 250]], np.uint8)
CLASSES = ("road", "pole", "sky")


def row(height: int = 40, width: int = 60, ignored: int = 255) -> PredictedImage:
    """Left half: right. Of the right half, the upper part is ignored and the lower one wrong."""
    labels = np.zeros((height, width), np.int32)
    labels[: height // 2, width // 2 :] = ignored
    predictions = np.zeros((height, width), np.uint8)
    predictions[:, width // 2 :] = 1
    image = np.full((height, width, 3), 100, np.uint8)
    return PredictedImage("val/a", image, labels, {"model": predictions}, [0.25])


@pytest.mark.parametrize("ignored", [255, 65535, -1, 3])
def test_only_labelled_pixels_can_be_wrong(ignored):
    image, label, prediction, wrong = cells_of(row(ignored=ignored), PALETTE)
    height, width = wrong.shape[:2]
    is_wrong = (wrong == WORSE).all(axis=-1)
    assert is_wrong[height // 2 :, width // 2 :].all()
    assert is_wrong.sum() == height * width / 4
    assert (label[: height // 2, width // 2 :] == NO_CLASS).all()
    assert (label[:, : width // 2] == PALETTE[0]).all()
    assert (prediction[:, width // 2 :] == PALETTE[1]).all()
    assert (image == 100).all()


@pytest.mark.parametrize(
    ("size", "shown"),
    [((400, 800), (180, 360)), ((800, 400), (360, 180)), ((30, 30), (360, 360)), ((1, 2000), (1, 360))],
)
def test_cells_keep_the_shape_of_the_image(size, shown):
    for cell in cells_of(row(*size), PALETTE):
        assert cell.shape == (*shown, 3)
        assert cell.dtype == np.uint8


def test_colours_are_never_mixed():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (900, 700))
    one = PredictedImage("a", np.zeros((900, 700, 3), np.uint8), labels, {"model": labels[::-1]}, [0.0])
    for cell in cells_of(one, PALETTE)[1:3]:
        assert {tuple(c) for c in cell.reshape(-1, 3).tolist()} == {tuple(c) for c in PALETTE.tolist()}


def test_a_band_for_each_image_and_a_legend_of_what_occurs(monkeypatch):
    written = texts_of(monkeypatch)
    rows = [row(), row(80, 60)]
    picture = Image.open(io.BytesIO(worst_png(rows, CLASSES, PALETTE, title="The worst\nof 9")))
    assert picture.width == 4 * (CELL + picture_sheets.GAP) - picture_sheets.GAP + 2 * picture_sheets.MARGIN
    assert picture.height > 240 + CELL
    names = [text for text, _ in written]
    assert {"The worst", "of 9", "image", "label", "prediction", "wrong pixels"} <= set(names)
    assert names.count("val/a    mIoU 25.0 %    wrong 33.3 %") == 2
    assert names[-3:] == ["road", "pole", "no class"]


def test_a_long_legend_takes_several_lines():
    classes = [f"a long class name {i}" for i in range(60)]
    layout = picture_sheets._Layout(("image", "label"), CELL)
    band = picture_sheets._legend(layout, set(range(60)), classes, np.zeros((60, 3), np.uint8))
    assert band.height > 5 * layout.line


def test_the_same_pixels_give_the_same_file():
    assert worst_png([row()], CLASSES, PALETTE) == worst_png([row()], CLASSES, PALETTE)


def test_comparison_sets_maps_beside_the_image_and_says_what_they_are(monkeypatch):
    written = texts_of(monkeypatch)
    image = np.full((10, 12, 3), 7, np.uint8)
    one = PredictedImage("a", image, np.full((10, 12), 255), {"m": np.zeros((10, 12), np.uint8)}, [0.25])
    palette = np.array([[200, 0, 0], [0, 200, 0]], np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(comparison_png([one], ("road", "pole"), palette))))
    layout = picture_sheets._Layout(("image", "label", "m"), CELL)
    middle = [sheet[sheet.shape[0] // 2, layout.left(column) + CELL // 2].tolist() for column in range(3)]
    assert middle == [[7, 7, 7], [255, 255, 255], [200, 0, 0]]
    assert {text for text, _ in written} == {"image", "label", "m", "a: mIoU m 25.0 %", "road", "no class"}
    assert sheet[-1, -1].tolist() == [255, 255, 255]


@pytest.mark.parametrize("models", [1, 2, 5])
def test_a_comparison_of_large_photos_keeps_its_letters_and_its_width(models, monkeypatch):
    written = texts_of(monkeypatch)
    labels = np.zeros((966, 1296), np.uint8)
    predictions = {f"a model with a very long name {i}" * 3: labels for i in range(models)}
    one = PredictedImage("a photo " * 60, np.zeros((966, 1296, 3), np.uint8), labels, predictions)
    picture = Image.open(io.BytesIO(comparison_png([one], CLASSES, PALETTE)))
    assert 0.97 * MOST_WIDTH < picture.width <= MOST_WIDTH
    assert all(size >= SMALLEST_TEXT and size >= picture.width // 100 for _, size in written)
    assert [text[-1] for text, _ in written if text[0] == "a"] == ["…"] * (models + 1)


def texts_of(monkeypatch) -> list[tuple[str, int]]:
    """The texts that are drawn from now on, each with the size of its letters."""
    written = []
    draw = picture_sheets.ImageDraw.ImageDraw.text

    def spy(pen, at, text, **options):
        written.append((text, options["font"].size))
        draw(pen, at, text, **options)

    monkeypatch.setattr(picture_sheets.ImageDraw.ImageDraw, "text", spy)
    return written
