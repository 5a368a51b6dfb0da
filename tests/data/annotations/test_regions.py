from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.annotations.regions import inside_ellipse, inside_polygon, placed


def test_a_polygon_from_the_corner_of_the_image():
    mask = np.zeros((6, 8), bool)
    mask[1:4, 2:7] = True
    assert np.array_equal(inside_polygon(np.array([[2, 1], [7, 1], [7, 4], [2, 4]]), 6, 8), mask)


def test_polygons_are_those_of_pycocotools():
    """Inside, across and beyond the image; whole numbers and fractions; convex or crossing themselves."""
    masks = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for index in range(400):
        height, width = map(int, rng.integers(1, 40, 2))
        points = rng.uniform(-15, 55, (rng.integers(3, 9), 2))
        points = points if index % 2 else points.round()
        (code,) = masks.frPyObjects([points.ravel().tolist()], height, width)
        assert np.array_equal(inside_polygon(points, height, width), masks.decode(code).astype(bool))


def test_a_turned_ellipse():
    tall = inside_ellipse((10, 8), (2, 6), 0, 16, 20)
    assert np.array_equal(tall, inside_ellipse((10, 8), (6, 2), 90, 16, 20))
    assert tall.sum(axis=1).max() == 4 and tall.sum(axis=0).max() == 12


@pytest.mark.parametrize(("left", "top"), [(-1, -1), (2, 1), (4, 3), (-5, 0), (9, 9)])
def test_a_bitmap_is_cut_at_the_border(left, top):
    expected = np.zeros((20, 20), bool)
    expected[8 + top : 10 + top, 8 + left : 11 + left] = True
    assert np.array_equal(placed(np.ones((2, 3), bool), left, top, 4, 5), expected[8:12, 8:13])
