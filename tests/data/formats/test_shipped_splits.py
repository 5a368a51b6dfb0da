from __future__ import annotations

import pytest

from usrn_keras.data import load_dataset
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.formats.lists import split_lists
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


def _load(root, **settings):
    return load_dataset(DataSection(dataset="folder", root=str(root), **settings))


def _names(samples):
    return [sample.name for sample in samples]


@pytest.fixture
def split(folder, files):
    """A folder of lists beside the images."""
    files.names(folder / "lists/mine/labelled.txt", ["# drawn by usrn split", "b"])
    files.names(folder / "lists/mine/val.txt", ["f"])
    return folder


def test_a_folder_of_lists(split):
    dataset = _load(split, split="lists/mine")
    assert _names(dataset.labelled) == ["b"] and _names(dataset.val) == ["f"]
    assert _names(dataset.unlabelled) == ["a", "d", "street/c", "street/e"], "whether they have masks or not"
    assert dataset.unlabelled[0].mask is not None, "the Oracle needs it"


def test_a_folder_of_lists_with_all_of_them(split, files):
    files.names(split / "lists/mine/unlabelled.txt", ["d"])
    files.names(split / "lists/mine/test.txt", ["a"])
    dataset = _load(split, split="lists/mine")
    assert _names(dataset.unlabelled) == ["d"] and _names(dataset.test) == ["a"]


def test_a_folder_elsewhere(split, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "mine"
    (split / "lists/mine").rename(elsewhere)
    assert _names(_load(split, split=str(elsewhere)).labelled) == ["b"]


def test_a_list_file(split):
    dataset = _load(split, split="lists/mine/labelled.txt", val="val.txt")
    assert _names(dataset.labelled) == ["b"] and len(dataset.unlabelled) == 4


def test_lists_of_the_recipe_that_agree_with_the_split(split):
    assert _names(_load(split, split="lists/mine", val="val.txt").val) == ["f"]


def test_val_images_apart_stay_with_a_split(split, files):
    files.image(split / "v/x.png")
    files.mask(split / "vm/x.png")
    (split / "lists/mine/val.txt").unlink()
    dataset = _load(split, split="lists/mine", val_images="v", val_masks="vm")
    assert _names(dataset.val) == ["val/x"] and len(dataset.unlabelled) == 5
    files.names(split / "lists/mine/val.txt", ["val/x"])
    assert _names(_load(split, split="lists/mine", val_images="v", val_masks="vm").val) == ["val/x"]


@pytest.mark.parametrize("entry", ["../b", "/etc/passwd", "..\\b", "C:\\b", "images/../../b", "\\\\host\\b"])
@pytest.mark.parametrize("name", ["labelled", "unlabelled", "val", "test"])
def test_paths_that_lead_out_are_refused(split, files, name, entry):
    files.names(split / f"lists/mine/{name}.txt", ["b" if name == "labelled" else "f", entry])
    with pytest.raises(DataError, match=rf"mine/{name}\.txt, line 2: .* is not a path in the data set"):
        _load(split, split="lists/mine")


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        (
            {"split": "1_8"},
            r"`1_8` .* is not shipped, and .*1_8 is neither a folder .*; no splits are shipped",
        ),
        ({"split": "lists"}, r"the list .*lists/labelled\.txt does not exist"),
        (
            {"split": "lists/mine", "labelled": "all.txt"},
            "data.split and data.labelled list different labelled",
        ),
        (
            {"split": "lists/mine", "val": "all.txt"},
            r"use only one of them \(--set data\.val= removes the list\)",
        ),
    ],
)
def test_faults(split, files, settings, fault):
    files.names(split / "all.txt", ["a", "b"])
    with pytest.raises(DataError, match=fault):
        _load(split, **settings)


def test_an_own_split_of_a_data_set_that_ships_its_own(tmp_path, files):
    for part, names in (
        ("train", ["0001TP_006690", "0001TP_006720", "0001TP_006750"]),
        ("val", ["0016E5_07959"]),
    ):
        for name in names:
            files.image(tmp_path / f"images/{part}/{name}.png")
            files.mask(tmp_path / f"labels/{part}/{name}.png")
    files.names(tmp_path / "own/labelled.txt", ["images/train/0001TP_006720.png"])
    files.names(tmp_path / "own/unlabelled.txt", ["0001TP_006690"])
    files.names(tmp_path / "own/val.txt", ["0001TP_006750"])
    files.names(tmp_path / "own/test.txt", ["0016E5_07959"])
    dataset = load_dataset(DataSection(dataset="camvid", root=str(tmp_path), split="own"))
    assert [_names(part) for part in (dataset.labelled, dataset.unlabelled, dataset.val, dataset.test)] == [
        ["0001TP_006720"],
        ["0001TP_006690"],
        ["0001TP_006750"],
        ["0016E5_07959"],
    ]


@pytest.mark.parametrize(
    ("dataset", "split", "labelled", "train", "val"),
    [
        *(("cityscapes", split, n, 2975, 500) for split, n in (("1_32", 93), ("1_16", 186), ("1_8", 372))),
        *(("voc", split, n, 10582, 1449) for split, n in (("1_64", 165), ("1_32", 331), ("1_16", 662))),
    ],
)
def test_official_splits(tmp_path, dataset, split, labelled, train, val):
    faults = ErrorList()
    lists = split_lists(dataset, DataSection(dataset=dataset, split=split), tmp_path, faults)
    assert not faults.lines
    sizes = (len(lists.labelled), len(lists.unlabelled), len(lists.val), len(lists.test))
    assert sizes == (labelled, train - labelled, val, 0)
    assert not set(lists.labelled) & set(lists.unlabelled)
