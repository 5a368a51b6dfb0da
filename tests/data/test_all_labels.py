"""`data.labels = "all"`: the Oracle's data."""

from __future__ import annotations

import pytest

from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError
from usrn_keras.recipe import load_recipe


def load(recipe_file, *overrides):
    return load_dataset(load_recipe(str(recipe_file), overrides).data)


def test_masks_of_unlabelled_images_are_labels_too(recipe_file, tmp_path):
    (tmp_path / "data/labelled.txt").write_text("0\n1\n")
    (tmp_path / "data/unlabelled.txt").write_text("2\n3\n4\n")  # of which 2 has a mask
    lists = ("data.labelled=labelled.txt", "data.unlabelled=unlabelled.txt")
    dataset = load(recipe_file, *lists, "data.labels=all")
    assert [sample.name for sample in dataset.labelled] == ["0", "1", "2"]
    assert [sample.name for sample in dataset.unlabelled] == ["2", "3", "4"]
    assert dataset.fingerprint() != load(recipe_file, *lists).fingerprint()


def test_without_a_mask_more_that_is_said(recipe_file):
    with pytest.raises(DataError, match="none of the 2 unlabelled images has a mask"):
        load(recipe_file, "data.labels=all")
