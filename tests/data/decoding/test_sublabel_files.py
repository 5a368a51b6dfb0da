from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.decoding.mask_files import check_sublabels, read_sublabels
from usrn_keras.errors import DataError

PARENTS = np.repeat([0, 1], [2, 299])  # of 301 subclasses


@pytest.mark.parametrize(("dtype", "ignored"), [(np.uint8, 255), (np.uint16, 65535)])
def test_sublabels_are_minus_one_where_ignored(tmp_path, files, dtype, ignored):
    path = files.mask(tmp_path / "a.png", np.array([[0, 254, ignored]], dtype))
    sublabels = read_sublabels(path)
    assert sublabels.dtype == np.int32
    np.testing.assert_array_equal(sublabels, [[0, 254, -1]])


def test_16_bit_sublabels_above_255(tmp_path, files):
    path = files.mask(tmp_path / "a.png", np.array([[255, 300]], np.uint16))
    np.testing.assert_array_equal(read_sublabels(path), [[255, 300]])


def test_sublabels_of_their_labels_pass():
    labels = np.array([[0, 1, 1, 255]], np.uint8)
    check_sublabels("s.png", np.array([[1, 2, 300, -1]], np.int32), labels, PARENTS, 255)
    check_sublabels("s.png", np.zeros((0, 3), np.int32), np.zeros((0, 3), np.uint8), PARENTS, 255)


@pytest.mark.parametrize("sublabel", [0, 1, 301, 65534, -1])
def test_sublabels_of_another_label_are_refused(sublabel):
    """Another class, no subclass at all, or ignored where the label is not."""
    sublabels = np.array([[2, sublabel, 2, sublabel]], np.int32)
    with pytest.raises(
        DataError, match=r"s\.png: the value of 2 of 4 pixels is not a subclass \(0 to 300\).*\n.*delete"
    ):
        check_sublabels("s.png", sublabels, np.ones((1, 4), np.uint16), PARENTS, 255)


def test_a_sublabel_where_the_label_is_ignored_is_refused():
    with pytest.raises(DataError, match="1 of 1 pixels"):
        check_sublabels("s.png", np.array([[2]], np.int32), np.array([[255]], np.uint8), PARENTS, 255)


def test_colours_are_no_sublabels(tmp_path, files):
    with pytest.raises(
        DataError, match=r"a\.png contains colours; a sublabel file must have one subclass id"
    ):
        read_sublabels(files.image(tmp_path / "a.png"))
