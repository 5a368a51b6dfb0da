from __future__ import annotations

import base64
import zlib

import cv2
import numpy as np
import pytest

from tests.data.annotations.made_sources import (
    HEIGHT,
    WIDTH,
    box,
    imported,
    problems,
    write_json,
    write_photos,
)
from usrn_keras.data.annotations.bitmaps import encode_png

CLASSES = [
    {"title": "dog", "shape": "polygon", "color": "#0A141E", "id": 1},
    {"title": "cat", "shape": "bitmap", "color": "#FF0000", "id": 2},
]


def packed(png: bytes) -> str:
    return base64.b64encode(zlib.compress(png)).decode()


def polygon(label, exterior, interior=(), kind="polygon"):
    points = {"exterior": exterior, "interior": list(interior)}
    return {"classTitle": label, "geometryType": kind, "points": points}


def bitmap(label, mask, x, y):
    return {
        "classTitle": label,
        "geometryType": "bitmap",
        "bitmap": {"data": packed(encode_png(mask)), "origin": [x, y]},
    }


def make_project(tmp_path, *objects):
    photos = write_photos(tmp_path / "project/set/img", "a.jpg")
    write_json(tmp_path / "project/meta.json", {"classes": CLASSES, "tags": []})
    size = {"height": HEIGHT, "width": WIDTH}
    write_json(tmp_path / "project/set/ann/a.jpg.json", {"size": size, "objects": list(objects)})
    return tmp_path / "project", photos


def masks_of(tmp_path, *objects):
    project, photos = make_project(tmp_path, *objects)
    return imported(project, photos, tmp_path / "masks")


def test_polygons_with_holes_as_opencv_fills_them(tmp_path):
    outline, hole = [[4, 3], [20, 5], [15, 19], [5, 15]], [[8, 7], [12, 8], [11, 12]]
    report, masks = masks_of(tmp_path, polygon("cat", outline, [hole]))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.fillPoly(expected, [np.array(outline)], 2)
    cv2.fillPoly(expected, [np.array(hole)], 0)
    assert np.array_equal(masks["a"], expected)
    assert report.classes == ("background", "dog", "cat")


def test_bitmaps_and_rectangles(tmp_path):
    shape = np.random.default_rng(0).random((6, 7)) < 0.5
    _, masks = masks_of(
        tmp_path, polygon("dog", [[20, 20], [3, 2]], kind="rectangle"), bitmap("cat", shape, 9, 4)
    )
    expected = box(3, 2, 18, 19)
    expected[4:10, 9:16][shape] = 2
    assert np.array_equal(masks["a"], expected)


def test_a_bitmap_with_opacity(tmp_path):
    """Supervisely writes bitmaps of four channels, too: the opacity counts."""
    four = np.zeros((2, 3, 4), np.uint8)
    four[0, :, 3] = 255
    found = bitmap("cat", np.ones((1, 1), bool), 5, 6)
    found["bitmap"]["data"] = packed(cv2.imencode(".png", four)[1].tobytes())
    assert np.array_equal(masks_of(tmp_path, found)[1]["a"], box(5, 6, 3, 1, 2))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            polygon("cow", [[1, 1], [2, 2], [3, 1]]),
            "objects[0].classTitle: `cow` is not in meta.json; allowed are dog",
        ),
        (
            polygon("cat", [[1, 1], [2, 2]]),
            "points.exterior: a polygon must have 3 or more points, received 2",
        ),
        (polygon("cat", [[1, 1]], kind="cuboid"), "geometryType: 'cuboid' is not known; allowed are polygon"),
        (bitmap("cat", np.ones((4, 4), bool), 30, 2), "bitmap: 4x4 pixels at 30, 2 reach beyond the image"),
        (
            {"classTitle": "cat", "geometryType": "bitmap"},
            "set/ann/a.jpg.json, objects[0].bitmap: is missing",
        ),
    ],
)
def test_damaged_objects_are_named(bad, message, tmp_path):
    assert message in problems(*make_project(tmp_path, bad), replace=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("AAAA", "bitmap.data: Error -3"),
        (packed(b"no picture"), "the data is not a PNG file"),
        (
            packed(encode_png(np.ones((100, 100), bool))),
            "the PNG has 100x100 pixels; the limit is 768 pixels",
        ),
        (packed(bytes(2**27)), "the bitmap unpacks to more than 67,108,864 bytes"),
    ],
)
def test_damaged_and_swollen_bitmaps_are_refused(data, message, tmp_path):
    bad = bitmap("cat", np.ones((1, 1), bool), 0, 0)
    bad["bitmap"]["data"] = data
    assert message in problems(*make_project(tmp_path, bad))
