from __future__ import annotations

import shutil

import numpy as np
import pytest

from usrn_keras.data import load_dataset, read_sample
from usrn_keras.data.formats.lists import shipped_list
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection

TRAIN = shipped_list("cityscapes", "train")[:4]
VAL = shipped_list("cityscapes", "val")[:2]


def _load(tree, **settings):
    lists = {name: str(tree / f"{name}.txt") for name in ("labelled", "unlabelled", "val")}
    return load_dataset(DataSection(dataset="cityscapes", root=str(tree), **(settings or lists)))


@pytest.fixture
def tree(tmp_path, files):
    """Images of the real lists; masks are left to the tests."""
    for part, names in (("train", TRAIN), ("val", VAL)):
        for name in names:
            files.image(tmp_path / f"leftImg8bit/{part}/{name}_leftImg8bit.png")
    files.names(tmp_path / "labelled.txt", TRAIN[:2])
    files.names(tmp_path / "unlabelled.txt", TRAIN[2:])
    files.names(tmp_path / "val.txt", VAL)
    return tmp_path


def _write_masks(tree, files, kind, ids, names=(*TRAIN[:2], *VAL)):
    for name in names:
        part = "train" if name in TRAIN else "val"
        files.mask(tree / f"gtFine/{part}/{name}_gtFine_{kind}.png", ids)


def test_train_ids_are_read_as_they_are(tree, files):
    _write_masks(tree, files, "labelTrainIds", 18)
    _write_masks(tree, files, "labelIds", 33)
    dataset = _load(tree)
    assert dataset.id_map is None and len(dataset.classes) == 19
    assert [len(part) for part in (dataset.labelled, dataset.unlabelled, dataset.val)] == [2, 2, 2]
    assert dataset.labelled[0].name == "aachen/aachen_000000_000019"
    assert (read_sample(dataset.labelled[0], dataset)[1] == 18).all()


def test_label_ids_go_through_the_official_table(tree, files):
    ids = np.resize(np.arange(34, dtype=np.uint8), files.size)
    _write_masks(tree, files, "labelIds", ids)
    dataset = _load(tree)
    mask = read_sample(dataset.val[0], dataset)[1]
    official = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10, 24: 11, 25: 12}
    official |= {26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
    np.testing.assert_array_equal(mask, np.vectorize(lambda label: official.get(label, 255))(ids))


def test_label_ids_are_used_when_train_ids_are_not_complete(tree, files):
    _write_masks(tree, files, "labelIds", 7)
    _write_masks(tree, files, "labelTrainIds", 0, names=VAL)
    assert _load(tree).id_map is not None


def test_label_id_outside_the_table(tree, files):
    _write_masks(tree, files, "labelIds", 34)
    dataset = _load(tree)
    with pytest.raises(DataError, match="outside the 34 ids of the data set: 34"):
        read_sample(dataset.val[0], dataset)


def test_masks_missing_in_both_kinds(tree, files):
    _write_masks(tree, files, "labelTrainIds", 0, names=TRAIN[:2])
    with pytest.raises(DataError, match="val: there is no mask for") as caught:
        _load(tree)
    assert len(caught.value.errors) == 2
    assert "cityscapes-dataset.com" in caught.value.hint


def test_official_split_from_files(tmp_path, files):
    """`data.split` finds the masks of the official names; what lacks is named."""
    name = shipped_list("cityscapes", "labelled_1_8")[0]
    files.image(tmp_path / f"leftImg8bit/train/{name}_leftImg8bit.png")
    files.mask(tmp_path / f"gtFine/train/{name}_gtFine_labelIds.png")
    with pytest.raises(DataError) as caught:
        _load(tmp_path, split="1_8")
    assert f"labelled: there is no image `{name}`" not in caught.value.errors
    assert caught.value.errors[-1] == f"and {2975 + 500 - 1 - 20} more"


@pytest.mark.parametrize("folder", ["{part}/", ""])
@pytest.mark.parametrize("kind", ["labelTrainIds", "labelIds"])
def test_flattened_layout_of_the_official_code(tree, files, folder, kind):
    shutil.rmtree(tree / "leftImg8bit")
    for part, names in (("train", TRAIN), ("val", VAL)):
        below = folder.format(part=part)
        for name in (name.split("/")[1] for name in names):
            files.image(tree / f"images/{below}{name}_leftImg8bit.png")
            files.mask(tree / f"segmentation/{below}{name}_gtFine_{kind}.png", 7)
    dataset = _load(tree)
    assert [sample.name for sample in dataset.labelled] == list(TRAIN[:2]), (
        "the official names, with the city"
    )
    assert [len(part) for part in (dataset.labelled, dataset.unlabelled, dataset.val)] == [2, 2, 2]
    assert (read_sample(dataset.val[0], dataset)[1] == (7 if kind == "labelTrainIds" else 0)).all()


def test_lists_of_the_official_code(tree, files):
    _write_masks(tree, files, "labelTrainIds", 0)
    lines = [
        f"images/train/{name}_leftImg8bit.png segmentation/train/{name}_gtFine_labelTrainIds.png"
        for name in (name.split("/")[1] for name in TRAIN)
    ]
    files.names(tree / "93_train_supervised.txt", lines[:2])
    files.names(tree / "unlabelled.txt", lines[2:])
    dataset = _load(tree, split="93_train_supervised.txt", unlabelled="unlabelled.txt", val="val.txt")
    assert [sample.name for sample in dataset.labelled] == list(TRAIN[:2])
    assert [sample.name for sample in dataset.unlabelled] == list(TRAIN[2:])
