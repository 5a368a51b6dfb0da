"""Sentences about files that are left out, and notes of `usrn data check` about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data.decoding.value_ranges import ValueHistogram, add_histograms
from usrn_keras.data.left_out_files import find_unread


@pytest.mark.parametrize("name", ["a.HEIC", "b/c.avif", "d.Jp2", "e.dng", "f.jxl"])
def test_pictures_of_other_formats_are_found(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    for other in (name, "notes.txt", "labels.json", "x.jpg", ".hidden.heic"):
        (tmp_path / other).touch()
    (found,) = find_unread([tmp_path, tmp_path])  # a folder given twice counts once
    assert [path.name for path in found.files] == [Path(name).name]
    assert found.message.startswith("1 picture is left out, because its format is not read: 1 ")


def test_a_folder_of_photographs_leaves_nothing_out(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert find_unread([tmp_path]) == []


def histogram(values, lowest=0):
    counts = np.zeros(65536, np.int64)
    np.add.at(counts, np.asarray(values) - lowest, 1)
    return ValueHistogram(counts, lowest)


@pytest.mark.parametrize(
    ("values", "lowest", "expected"),
    [
        (range(30, 4096), 0, (0, 4095)),
        (range(3000, 4000), 0, (3000, 3999)),
        (range(-1000, 3000), -32768, (-1000, 2999)),
        ([*range(1000)] * 20 + [65535], 0, (0, 999)),  # a hot pixel
        (range(65536), 0, None),  # the upper eight bits are good
        ([7, 7], 0, None),
    ],
)
def test_proposed_value_ranges(values, lowest, expected):
    assert histogram(values, lowest).propose() == expected


def test_histograms_of_signed_and_unsigned_numbers_keep_their_values():
    total = add_histograms([histogram([5, 9]), histogram([-3, 5], -32768)])
    assert total.extremes == (-3, 9) and total.images == 2
    assert total.counts[5 - total.lowest] == 2
