from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.mask_values import read_palette, voc_palette
from usrn_keras.errors import DataError


def test_voc_palette_is_the_published_one():
    palette = voc_palette(21)
    assert palette.dtype == np.uint8 and palette.shape == (21, 3)
    published = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        4: (0, 0, 128),
        8: (64, 0, 0),
        15: (192, 128, 128),
    }
    published[20] = (0, 64, 128)
    assert {index: tuple(palette[index].tolist()) for index in published} == published


def test_voc_palette_has_distinct_colours_above_256_classes():
    assert len(np.unique(voc_palette(1000), axis=0)) == 1000


def test_palette_file(tmp_path):
    (tmp_path / "palette.txt").write_text("0 0 0\n\n255 128 1\n")
    faults = ErrorList()
    np.testing.assert_array_equal(
        read_palette(tmp_path / "palette.txt", 2, faults), [[0, 0, 0], [255, 128, 1]]
    )
    faults.raise_if_any("palette")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("0 0 0\n1 2\n", "line 2"),
        ("0 0 0\n1 2 256\n", "line 2"),
        ("0 0 x\n1 2 3\n", "line 1"),
        ("0 0 -1\n1 2 3\n", "line 1"),
        ("0 0 0\n", "1 colours for 2 classes"),
    ],
)
def test_wrong_palette_file(tmp_path, text, fault):
    (tmp_path / "palette.txt").write_text(text)
    faults = ErrorList()
    read_palette(tmp_path / "palette.txt", 2, faults)
    with pytest.raises(DataError, match=fault):
        faults.raise_if_any("palette")
