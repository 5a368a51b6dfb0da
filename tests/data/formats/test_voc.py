from __future__ import annotations

import pytest

from usrn_keras.data import load_dataset
from usrn_keras.data.formats.lists import shipped_list
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


def _load(root, **settings):
    return load_dataset(DataSection(dataset="voc", root=str(root), **settings))


@pytest.fixture
def tree(tmp_path, files):
    """Four training and two validation images of the real lists; val masks only in SegmentationClass."""
    root = tmp_path / "VOCdevkit/VOC2012"
    labelled = shipped_list("voc", "labelled_1_64")[:2]
    unlabelled = [name for name in shipped_list("voc", "train") if name not in labelled][:2]
    val = shipped_list("voc", "val")[:2]
    for name in (*labelled, *unlabelled, *val):
        files.image(root / f"JPEGImages/{name}.jpg")
    for name in labelled:
        files.mask(root / f"SegmentationClassAug/{name}.png")
    for name in (*val, *labelled, *unlabelled):
        files.mask(root / f"SegmentationClass/{name}.png")
    for name, names in (("labelled", labelled), ("unlabelled", unlabelled), ("val", val)):
        files.names(tmp_path / f"{name}.txt", names)
    return tmp_path


def _lists(tree):
    return {name: str(tree / f"{name}.txt") for name in ("labelled", "unlabelled", "val")}


@pytest.mark.parametrize("root", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_root_at_any_level_of_the_archive(tree, root):
    dataset = _load(tree / root, **_lists(tree))
    assert len(dataset.classes) == 21 and dataset.classes[15] == "person"
    assert [len(part) for part in (dataset.labelled, dataset.unlabelled, dataset.val)] == [2, 2, 2]


def test_training_masks_come_from_segmentation_class_aug_alone(tree):
    dataset = _load(tree, **_lists(tree))
    assert {sample.mask.parent.name for sample in dataset.labelled} == {"SegmentationClassAug"}
    assert {sample.mask.parent.name for sample in dataset.val} == {"SegmentationClass"}
    assert {sample.mask for sample in dataset.unlabelled} == {None}


def test_training_mask_missing_in_segmentation_class_aug(tree):
    name = shipped_list("voc", "labelled_1_64")[0]
    (tree / f"VOCdevkit/VOC2012/SegmentationClassAug/{name}.png").unlink()
    with pytest.raises(DataError, match=rf"labelled: there is no mask for .*{name}\.jpg"):
        _load(tree, **_lists(tree))


def test_unknown_split(tree):
    with pytest.raises(DataError, match=r"`1_8` .* is not shipped, .*shipped splits: 1_16, 1_32, 1_64"):
        _load(tree, split="1_8")


def test_split_without_seeds(tree):
    with pytest.raises(DataError, match="split_seed = 1 is not shipped"):
        _load(tree, split="1_16", split_seed=1)


def test_files_missing(tree):
    with pytest.raises(DataError, match=r"and [0-9]+ more") as caught:
        _load(tree, split="1_16")
    assert len(caught.value.errors) == 21
    assert "host.robots.ox.ac.uk" in caught.value.hint


def test_empty_root(tmp_path):
    with pytest.raises(DataError) as caught:
        _load(tmp_path, split="1_16")
    assert caught.value.errors == (
        "the folders of the images contain no images",
        "the folders of the masks contain no masks",
    )


def test_lists_of_the_official_code(tree, files):
    names = (tree / "labelled.txt").read_text().split()
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in names]
    files.names(tree / "165_train_supervised.txt", lines)
    lists = {part: f"{part}.txt" for part in ("unlabelled", "val")}
    dataset = _load(tree, split="165_train_supervised.txt", **lists)
    assert [sample.name for sample in dataset.labelled] == names
