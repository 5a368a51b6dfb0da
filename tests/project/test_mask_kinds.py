from __future__ import annotations

import numpy as np

from usrn_keras.data.decoding.mask_files import RawMask
from usrn_keras.data.mask_values import pack, unpack
from usrn_keras.project.mask_kinds import KEPT_VALUES, count_values, join, shown


def test_counts_are_those_of_unique():
    ids = np.random.default_rng(0).integers(0, 5, (30, 40)).astype(np.uint8)
    ids[10:20] = 3
    counted = count_values(RawMask(ids, None, "L"))
    values, pixels = np.unique(ids, return_counts=True)
    assert counted.values.tolist() == values.tolist()
    assert counted.pixels.tolist() == pixels.tolist()
    runs = [
        sum(1 + np.count_nonzero((row[1:] == v) & (row[:-1] != v)) - (row[0] != v) for row in ids)
        for v in values
    ]
    assert counted.runs.tolist() == runs


def test_colours_are_packed():
    colours = np.array([[[1, 2, 3], [1, 2, 3]], [[255, 0, 0], [0, 0, 255]]], np.uint8)
    counted = count_values(RawMask(colours, None, "RGB"))
    assert counted.coloured
    assert unpack(counted.values).tolist() == [[0, 0, 255], [1, 2, 3], [255, 0, 0]]
    assert counted.pixels.tolist() == [1, 2, 1] and counted.runs.tolist() == [1, 1, 1]
    assert shown(int(pack(colours)[0, 0]), True) == "1 2 3" and shown(7, False) == "7"


def test_palette_indices_and_their_colours():
    palette = np.array([[9, 9, 9], [1, 0, 0], [9, 9, 9]], np.uint8)
    counted = count_values(RawMask(np.array([[0, 1, 2, 2]], np.uint8), palette, "P"))
    assert counted.values.tolist() == [0, 1, 2]
    as_colours = counted.as_colours()  # two indices of one colour
    assert unpack(as_colours.values).tolist() == [[1, 0, 0], [9, 9, 9]]
    assert as_colours.pixels.tolist() == [1, 3] and as_colours.coloured


def test_an_index_beyond_the_palette_is_black():
    counted = count_values(RawMask(np.array([[0, 5]], np.uint8), np.full((2, 3), 9, np.uint8), "P"))
    assert unpack(counted.colours).tolist() == [[9, 9, 9], [0, 0, 0]]


def test_a_photograph_is_counted_in_bounds():
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8)
    assert len(count_values(RawMask(noise, None, "RGB")).values) == KEPT_VALUES


def test_join():
    first = count_values(RawMask(np.array([[0, 0, 7]], np.uint8), None, "L"))
    second = count_values(RawMask(np.array([[7, 9, 7]], np.uint8), None, "L"))
    table = join({"a": first, "b": second})
    assert table.values.tolist() == [0, 7, 9]
    assert table.pixels.tolist() == [[2, 1, 0], [0, 2, 1]]
    assert table.run_length.tolist() == [2, 1, 1]
