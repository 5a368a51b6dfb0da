"""Second crops against the rules of CAC's official code, and the overlap against the pixels themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from usrn_keras.data.views.crop_pair import overlap, second_window
from usrn_keras.data.views.weak_view import WeakView, Window


def drawn(height: int, width: int, size: int, count: int = 300) -> list[tuple[Window, Window]]:
    """Pairs of windows of an image of this scaled size."""
    view, found = WeakView(size, max(height, width), scale=(1, 1)), []
    for seed in range(count):
        first = view.draw(np.random.default_rng([0, seed]), height, width)
        found.append((first, second_window(np.random.default_rng([1, seed]), first)))
    return found


def iou(first: Window, second: Window) -> float:
    size = first.crop_size
    common = max(0, size - abs(first.top - second.top)) * max(0, size - abs(first.left - second.left))
    return common / (2 * size**2 - common)


@pytest.mark.parametrize(("height", "width"), [(150, 200), (64, 300), (40, 90), (30, 20), (67, 71)])
def test_second_windows_are_of_the_same_image_and_overlap(height, width):
    pairs = drawn(height, width, 64)
    for first, second in pairs:
        assert (second.top - first.top) % 8 == 0 and (second.left - first.left) % 8 == 0
        assert 0 <= second.top <= max(0, height - 64) and 0 <= second.left <= max(0, width - 64)
        assert (second.height, second.width, second.crop_size) == (height, width, 64)
        assert iou(first, second) >= 0.1
    flips = np.array([[one.flip for one in pair] for pair in pairs])
    assert (abs(flips.mean(0) - 0.5) < 0.1).all() and 0.4 < (flips[:, 0] == flips[:, 1]).mean() < 0.6
    if max(height, width) > 80:
        assert len({(second.top - first.top, second.left - first.left) for first, second in pairs}) > 3


def test_the_first_place_is_taken_where_no_other_overlaps():
    """In an image of thousands of crops, 50 draws find no overlap, as a rule."""
    pairs = drawn(30_000, 30_000, 32, count=50)
    same = [(first.top, first.left) == (second.top, second.left) for first, second in pairs]
    assert np.mean(same) > 0.9


def test_overlap_shows_the_same_pixels():
    """Of an image whose pixels are their place, the cells at both positions are equal or mirrored."""
    height, width, size = 75, 83, 64
    place = np.arange(height * width).reshape(height, width)
    for first, second in drawn(height, width, size, count=60):
        cells = [window.cut_map(place, -1).reshape(8, 8, 8, 8).swapaxes(1, 2) for window in (first, second)]
        cells = [one.reshape(64, 8, 8) for one in cells]
        positions_1, positions_2, shown = overlap(first, second)
        assert positions_1.dtype == positions_2.dtype == np.int32 and shown.dtype == bool
        assert shown.sum() == (64 - abs(first.top - second.top)) * (64 - abs(first.left - second.left)) / 64
        for one, two, counts in zip(positions_1, positions_2, shown, strict=True):
            if counts:
                here, there = cells[0][one], cells[1][two]
                np.testing.assert_array_equal(here, there if first.flip == second.flip else there[:, ::-1])
            else:
                assert one == two == 0
        assert len(set(positions_1[shown])) == len(set(positions_2[shown])) == shown.sum()


def test_padding_is_no_overlap():
    """An image of 44 x 61 pixels fills 5 rows and 7 columns of 8 x 8 cells, on the right if mirrored."""
    first = Window(44, 61, top=0, left=0, crop_size=64, flip=False)
    positions_1, positions_2, shown = overlap(first, replace(first, flip=True))
    assert shown.sum() == 35
    rows, columns = np.mgrid[:5, :7].reshape(2, -1)
    np.testing.assert_array_equal(positions_1[shown], 8 * rows + columns)
    np.testing.assert_array_equal(positions_2[shown], 8 * rows + 7 - columns)
