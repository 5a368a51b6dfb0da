from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from usrn_keras.errors import DataError
from usrn_keras.report.pictures import GAP, TITLE_HEIGHT, comparison_png, overlay_png, palette_png

PALETTE = np.array([[0, 0, 0], [200, 100, 50], [255, 255, 255]], np.uint8)
LABELS = np.array([[0, 1, 2], [2, 2, 1]])


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_palette_png_holds_ids_and_colours():
    picture = opened(palette_png(LABELS, PALETTE))
    assert picture.mode == "P"
    np.testing.assert_array_equal(np.asarray(picture), LABELS)
    np.testing.assert_array_equal(np.asarray(picture.convert("RGB")), PALETTE[LABELS])


def test_overlay_is_halfway_between_image_and_colours():
    image = np.full((2, 3, 3), 100, np.uint8)
    np.testing.assert_array_equal(
        np.asarray(opened(overlay_png(image, LABELS, PALETTE)))[0],
        [[50, 50, 50], [150, 100, 75], [178, 178, 178]],
    )


def test_as_many_classes_as_a_palette_holds():
    labels = np.array([[255]])
    assert np.asarray(opened(palette_png(labels, np.zeros((256, 3), np.uint8)))) == 255
    with pytest.raises(DataError, match="at most 256 classes, the run has 257"):
        palette_png(labels, np.zeros((257, 3), np.uint8))


def test_comparison_sets_maps_beside_the_image():
    image = np.full((10, 12, 3), 7, np.uint8)
    maps = [np.zeros((10, 12), np.uint8), np.full((10, 12), 255)]
    palette = np.array([[200, 0, 0], [0, 200, 0]], np.uint8)
    sheet = np.asarray(Image.open(io.BytesIO(comparison_png([(image, maps)], palette, "abc"))))
    row, left = TITLE_HEIGHT + 5, GAP + 6
    assert sheet[row, left].tolist() == [7, 7, 7]
    assert sheet[row, left + 12 + GAP].tolist() == [200, 0, 0]
    assert sheet[row, left + 2 * (12 + GAP)].tolist() == [0, 0, 0]
    assert sheet[0, 0].tolist() == [255, 255, 255]
