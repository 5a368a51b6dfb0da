from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.mask_values import map_colours
from usrn_keras.errors import DataError


def _map(rows):
    return np.array(rows, np.int32)


def test_against_a_loop_over_pixels():
    rng = np.random.default_rng(0)
    palette = rng.permutation(256 * 256)[:60]
    rows = np.stack([palette % 256, palette // 256, np.arange(60), np.arange(60) % 20], axis=1).astype(
        np.int32
    )
    chosen = rng.integers(0, 60, (23, 17))
    by_colour = {tuple(row[:3]): row[3] for row in rows.tolist()}
    colours = rows[chosen][..., :3].astype(np.uint8)
    expected = [[by_colour[tuple(pixel)] for pixel in line] for line in colours.tolist()]
    np.testing.assert_array_equal(map_colours("a", colours, rows), expected)


def test_every_bit_of_every_channel_counts():
    rows = _map([[0, 0, 0, 0], *[[1 << bit, 0, 0, 1 + bit] for bit in range(8)]])
    rows = np.concatenate(
        [rows, rows[1:, [1, 0, 2, 3]] + [0, 0, 0, 8], rows[1:, [1, 2, 0, 3]] + [0, 0, 0, 16]]
    )
    colours = rows[None, :, :3].astype(np.uint8)
    np.testing.assert_array_equal(map_colours("a", colours, rows)[0], np.arange(25))


def test_parts_of_an_array_and_single_pixels():
    colours = np.zeros((6, 8, 3), np.uint8)
    colours[::2, ::2] = 255
    rows = _map([[0, 0, 0, 0], [255, 255, 255, 1]])
    assert (map_colours("a", colours[::2, ::2], rows) == 1).all()
    assert map_colours("a", colours[:1, :1], rows).tolist() == [[1]]


@pytest.mark.parametrize(
    ("ids", "dtype"), [([0, 255], np.uint8), ([0, 256], np.uint16), ([0, 65535], np.uint16)]
)
def test_type_of_the_ids(ids, dtype):
    rows = _map([[0, 0, 0, ids[0]], [1, 1, 1, ids[1]]])
    mapped = map_colours("a", np.array([[[1, 1, 1]]], np.uint8), rows)
    assert mapped.dtype == dtype and mapped[0, 0] == ids[1]


def test_unknown_colours_are_named_with_their_pixels_the_most_frequent_first():
    colours = np.zeros((4, 5, 3), np.uint8)
    colours[0, :2] = 1, 2, 3
    colours[1:3, :] = 7, 8, 9
    with pytest.raises(DataError) as caught:
        map_colours("dir/a.png", colours, _map([[0, 0, 0, 0], [5, 6, 7, 1]]))
    assert (
        caught.value.message == "dir/a.png contains colours of no class: 7 8 9 (10 pixels), 1 2 3 (2 pixels)"
    )
    assert "Allowed are 0 0 0 = 0, 5 6 7 = 1: complete palette.txt" in caught.value.hint
    assert "resized" not in caught.value.hint


def test_many_unknown_colours_are_cut_short_and_explained():
    colours = np.arange(180, dtype=np.uint8).reshape(6, 10, 3)
    with pytest.raises(
        DataError, match=r"(\d+ \d+ \d+ \(1 pixels\), ){9}\d+ \d+ \d+ \(1 pixels\) and 50 more"
    ) as e:
        map_colours("a", colours, _map([[255, 255, 255, 0]]))
    assert "interpolated or JPEG-compressed" in e.value.hint
