from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from usrn_keras.errors import DataError
from usrn_keras.report.pictures import (
    BETTER,
    BOTH_WRONG,
    WORSE,
    PredictedImage,
    difference_legend,
    difference_map,
    overlay_png,
    palette_png,
    pictures_of,
)

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


COLOURS = np.array([[128, 64, 128], [220, 20, 60], [70, 130, 180]], np.uint8)
RARE = np.array([False, True, False])


def compared(size: tuple[int, int] = (40, 60), **changes) -> PredictedImage:
    rng = np.random.default_rng(0)
    labels = np.zeros(size, np.int32)
    labels[10:16, 20:28], labels[-5:] = 1, -1
    image = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
    predictions = {"Baseline": np.zeros(size, np.uint8), "USRN": labels.clip(0).astype(np.uint8)}
    return PredictedImage(
        **({"name": "town/0", "image": image, "labels": labels, "predictions": predictions} | changes)
    )


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def test_where_they_differ_says_who_is_right():
    labels = np.array([[0, 0, 0, 0, 0, -1]])
    first, last = np.array([[0, 1, 0, 1, 1, 0]]), np.array([[0, 0, 1, 2, 1, 1]])
    shown = difference_map(np.zeros((1, 6, 3), np.uint8), labels, [first, last], 3)[0].tolist()
    grey = [120, 120, 120]
    assert shown == [grey, list(BETTER), list(WORSE), list(BOTH_WRONG), grey, grey]


def test_a_single_model_is_held_against_the_label():
    labels, ids = np.array([[0, 1, -1]]), np.array([[0, 0, 0]])
    shown = difference_map(np.zeros((1, 3, 3), np.uint8), labels, [ids], 2)[0].tolist()
    assert shown[1] == list(WORSE) and shown[0] == shown[2] == [120, 120, 120]
    assert difference_legend(["Baseline"]) == [("Baseline is wrong", WORSE)]


def test_five_pictures_say_what_they_are():
    pictures = pictures_of(compared(), COLOURS, RARE)
    captions = ["image", "label", "Baseline", "USRN", "where they differ"]
    assert [picture.caption for picture in pictures] == captions
    assert [picture.alt for picture in pictures] == [f"town/0: {caption}" for caption in captions]
    kinds = [picture.content[:4] for picture in pictures]
    assert [kind == b"\x89PNG" for kind in kinds] == [False, True, True, True, False]


def test_rare_classes_are_outlined_and_keep_their_pixels():
    label = pixels(pictures_of(compared(), COLOURS, RARE)[1].content)
    assert (label[10:16, 20:28] == COLOURS[1]).all()
    assert (label[9, 19:29] == 255).all() and (label[8, 18:30] == 0).all()
    assert (label[7, 17:31] == COLOURS[0]).all()
    assert (label[-5:] == 255).all()  # of no class
    nothing_rare = pixels(pictures_of(compared(), COLOURS, ~RARE & False)[1].content)
    assert (nothing_rare[9, 19:29] == COLOURS[0]).all()


@pytest.mark.parametrize(
    ("size", "shown"), [((400, 640), (200, 320)), ((1000, 10), (320, 3)), ((8, 8), (8, 8))]
)
def test_large_images_are_made_smaller_and_small_ones_stay(size, shown):
    labels = np.zeros(size, np.int32)
    row = compared(size, labels=labels, predictions={"Baseline": labels})
    assert {pixels(picture.content).shape[:2] for picture in pictures_of(row, COLOURS, RARE)} == {shown}


@pytest.mark.parametrize(
    ("mious", "heading"),
    [
        ([0.312, 0.5], "town/0: mIoU Baseline 31.2 %, USRN 50.0 %"),
        ([None, 0.5], "town/0: mIoU USRN 50.0 %"),
        ([None, None], "town/0"),
        ([], "town/0"),
    ],
)
def test_the_heading_says_what_is_known(mious, heading):
    assert compared(mious=mious).heading() == heading
