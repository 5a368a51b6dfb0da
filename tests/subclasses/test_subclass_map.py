from __future__ import annotations

import json

import numpy as np
import pytest

from usrn_keras.errors import RunError
from usrn_keras.subclasses import SubclassMap

SUBCLASSES = SubclassMap(
    ("road", "pole", "tram"),
    counts=np.array([2, 1, 0]),
    sizes=np.array([50, 51, 50]),
    centers=np.arange(6, dtype=np.float32).reshape(3, 2) / 3,
    pixels=np.array([1600, 800, 0]),
    feature_pixels=np.array([101, 50, 0]),
    inertia=np.array([1 / 3, 1e-300, 0.0]),
    prices=np.array([0.1, -0.1, 0.0]),
)


def test_everything_is_saved(tmp_path):
    SUBCLASSES.save(tmp_path)
    loaded = SubclassMap.load(tmp_path)
    assert loaded.classes == SUBCLASSES.classes
    for name in ("counts", "sizes", "centers", "pixels", "feature_pixels", "inertia", "prices"):
        saved, found = getattr(SUBCLASSES, name), getattr(loaded, name)
        assert found.dtype == saved.dtype
        np.testing.assert_array_equal(found, saved)


def test_subclasses_of_a_class():
    assert SUBCLASSES.parents.tolist() == [0, 0, 1] and SUBCLASSES.first.tolist() == [0, 2, 3]
    assert SUBCLASSES.of_class(1) == slice(2, 3) and SUBCLASSES.of_class(2) == slice(3, 3)
    assert SUBCLASSES.names == ("road/0", "road/1", "pole/0")


def test_those_of_an_older_version_are_refused(tmp_path):
    SUBCLASSES.save(tmp_path)
    facts = json.loads((tmp_path / "subclasses.json").read_text())
    old = {key: facts[key] for key in ("classes", "counts", "sizes")}
    (tmp_path / "subclasses.json").write_text(json.dumps(old))
    with pytest.raises(
        RunError, match=r"older version: .* lacks pixels, feature_pixels, inertia, prices\nDel"
    ):
        SubclassMap.load(tmp_path)


def test_sizes_in_label_pixels_undo_a_choice_of_rows():
    """Of class a a tenth was clustered, of b all, of c there is no feature pixel, d is absent."""
    subclasses = SubclassMap(
        ("a", "b", "c", "d"), np.array([2, 1, 1, 0]), sizes=np.array([6, 4, 10, 0]), centers=np.zeros((4, 2)),
        pixels=np.array([1600, 160, 3, 0]), feature_pixels=np.array([10, 10, 0, 0]),
        inertia=np.zeros(4), prices=np.zeros(4),
    )  # fmt: skip
    assert subclasses.in_label_pixels(subclasses.sizes).tolist() == [960, 640, 160, 3]
    assert subclasses.in_label_pixels(np.array([5, 5, 10, 0])).tolist() == [800, 800, 160, 3]
