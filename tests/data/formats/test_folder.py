from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data import load_dataset
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.mask_values import voc_palette
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


def _load(root, **settings):
    return load_dataset(DataSection(dataset="folder", root=str(root), **{"val": "val.txt", **settings}))


def _names(samples):
    return [sample.name for sample in samples]


def test_images_with_a_mask_are_labelled_and_those_without_unlabelled(folder):
    dataset = _load(folder)
    assert dataset.classes == ("sky", "road", "car")
    assert _names(dataset.labelled) == ["a", "b", "street/c"]
    assert _names(dataset.unlabelled) == ["d", "street/e"]
    assert _names(dataset.val) == ["f"] and dataset.test == ()
    assert dataset.labelled[2].image == folder / "images/street/c.png"
    assert dataset.labelled[2].mask == folder / "masks/street/c.png"
    assert dataset.unlabelled[0].mask is None
    np.testing.assert_array_equal(dataset.palette, voc_palette(3))


def test_lists_of_names_and_of_paths(folder, files):
    files.names(folder / "lists/labelled.txt", ["street/c", "a.png"])
    files.names(folder / "lists/unlabelled.txt", ["b", "d"])
    dataset = _load(folder, labelled="lists/labelled.txt", unlabelled="lists/unlabelled.txt", test="val.txt")
    assert _names(dataset.labelled) == ["street/c", "a"]
    assert _names(dataset.unlabelled) == ["b", "d"]
    assert dataset.unlabelled[0].mask == folder / "masks/b.png", "the Oracle needs it"
    assert _names(dataset.test) == ["f"]


def test_list_outside_the_root_by_absolute_path(folder, files, tmp_path_factory):
    path = files.names(tmp_path_factory.mktemp("lists") / "labelled.txt", ["a"])
    assert _names(_load(folder, labelled=str(path)).labelled) == ["a"]


def test_folders_of_other_names(folder):
    (folder / "images").rename(folder / "JPEGImages")
    (folder / "masks").rename(folder / "ids")
    assert len(_load(folder, images="JPEGImages", masks="ids").labelled) == 3


def test_classes_of_the_recipe_come_first(folder):
    assert _load(folder, classes=["x", "y"]).classes == ("x", "y")


def test_palette_file(folder):
    (folder / "palette.txt").write_text("1 2 3\n4 5 6\n7 8 9\n")
    np.testing.assert_array_equal(_load(folder).palette, np.arange(1, 10).reshape(3, 3))


@pytest.mark.parametrize("root", ["", "/does/not/exist"])
def test_root_missing(root):
    with pytest.raises(DataError, match=r"data\.root") as caught:
        _load(root)
    assert "ROOT/images/" in caught.value.hint


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"images": "nowhere"}, r"nowhere does not exist \(data\.images\)"),
        ({"masks": "nowhere"}, r"nowhere does not exist \(data\.masks\)"),
        ({"val": ""}, "no validation images"),
        ({"val": "nowhere.txt"}, r"nowhere\.txt does not exist"),
        ({"labelled": "empty.txt"}, "no labelled images"),
        ({"labelled": "empty.txt", "unlabelled": "labelled.txt"}, "labelled: there is no image `nobody`"),
        ({"labelled": "labelled.txt"}, r"labelled: there is no mask for .*d\.png"),
        ({"labelled": "outside.txt"}, "not a path in the data set"),
        ({"labelled": "val.txt"}, "`f` is in both labelled and val"),
        ({"unlabelled": "val.txt"}, "`f` is in both unlabelled and val"),
        ({"classes": ["x"]}, "at least 2 classes, received only `x`"),
        ({"classes": ["x", "x"]}, "two classes have the name `x`"),
        ({"ignore_index": 2}, "data.ignore_index = 2 is the id of class `car`: choose a value of at least 3"),
    ],
)
def test_faults(folder, files, settings, fault):
    files.names(folder / "empty.txt", [])
    files.names(folder / "labelled.txt", ["a", "d", "nobody"])
    files.names(folder / "outside.txt", ["a", "../b"])
    with pytest.raises(DataError, match=fault):
        _load(folder, **settings)


def test_classes_without_names(folder):
    (folder / "classes.txt").write_text("\n")
    with pytest.raises(DataError, match="the class names are missing"):
        _load(folder)


@pytest.mark.parametrize("name", ["classes.txt", "palette.txt", "val.txt"])
def test_files_in_another_encoding_are_faults_beside_all_others(folder, files, name):
    (folder / name).write_bytes("one\nstraße\n".encode("cp1252"))
    files.names(folder / "labelled.txt", ["nobody"])
    with pytest.raises(DataError) as caught:
        _load(folder, val="val.txt", labelled="labelled.txt")
    assert f"{name} cannot be read: line 2 is not UTF-8; save the file" in str(caught.value)
    assert "there is no image `nobody`" in str(caught.value)


def test_two_images_of_one_name(folder, files):
    files.image(folder / "images/a.bmp")
    with pytest.raises(DataError, match="have the same name `a`"):
        _load(folder)


def test_all_faults_at_once(folder, files):
    files.names(folder / "labelled.txt", [f"nobody{number}" for number in range(30)])
    (folder / "classes.txt").unlink()
    with pytest.raises(DataError) as caught:
        _load(folder, labelled="labelled.txt", val="")
    text = str(caught.value)
    assert (
        "class names are missing" in text
        and "no validation images" in text
        and "`nobody0`" in text
        and "and 12 more" in text
    )


def test_empty_folders_are_reported_once(tmp_path, files):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    files.names(tmp_path / "classes.txt", ["a", "b"])
    files.names(tmp_path / "val.txt", [f"n{number}" for number in range(30)])
    with pytest.raises(DataError) as caught:
        _load(tmp_path)
    assert "the folders of the images contain no images" in caught.value.errors
    assert len(caught.value.errors) == 3


def test_with_faults_what_can_be_used_comes_back(folder, files):
    files.names(folder / "labelled.txt", ["a", "nobody", "d", "b"])
    faults = ErrorList()
    data = DataSection(dataset="folder", root=str(folder), labelled="labelled.txt", val="nowhere.txt")
    dataset = load_dataset(data, faults)
    assert _names(dataset.labelled) == ["a", "b"] and dataset.val == ()
    assert len(faults.lines) == 4
    assert faults.lines[0].endswith("nowhere.txt does not exist")
    faults = ErrorList()
    load_dataset(DataSection(dataset="folder", root=str(folder), val="val.txt"), faults)
    assert faults.lines == ()


def test_with_faults_without_masks_the_unlabelled_images_come_back(folder):
    faults = ErrorList()
    dataset = load_dataset(DataSection(dataset="folder", root=str(folder), masks="nowhere"), faults)
    assert len(dataset.unlabelled) == 6 and dataset.labelled == ()
    assert any("nowhere does not exist" in line for line in faults.lines)


@pytest.mark.parametrize("dataset", ["folder", "camvid", "voc", "cityscapes"])
def test_with_faults_without_a_root_there_is_nothing(dataset):
    faults = ErrorList()
    found = load_dataset(DataSection(dataset=dataset, root="/does/not/exist"), faults)
    assert faults.lines == ("data.root = `/does/not/exist` is not a folder",)
    assert (found.labelled, found.unlabelled, found.val, found.test) == ((), (), (), ())
    with pytest.raises(DataError, match=r"data\.root = `/does/not/exist` is not a folder") as caught:
        load_dataset(DataSection(dataset=dataset, root="/does/not/exist"))
    assert "ROOT/" in caught.value.hint
