from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.evaluation.small_maps import read_small_maps, write_small_maps


@pytest.mark.parametrize("name", ["town/0", "../0", "names", "file", "straße", "0"])
def test_maps_of_any_name_are_read_back(name, tmp_path):
    maps = {name: np.array([[0, 255], [3, 1]], np.int32), "other": np.array([[300]])}
    write_small_maps(tmp_path / "small_maps.npz", maps)
    read = read_small_maps(tmp_path / "small_maps.npz")
    assert list(read) == list(maps)
    for key, ids in maps.items():
        np.testing.assert_array_equal(read[key], ids)
    assert read[name].dtype == np.uint8


def test_no_maps_and_no_file(tmp_path):
    assert read_small_maps(tmp_path / "small_maps.npz") == {}
    write_small_maps(tmp_path / "small_maps.npz", {})
    assert read_small_maps(tmp_path / "small_maps.npz") == {}
