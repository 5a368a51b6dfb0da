from __future__ import annotations

import pytest

from usrn_keras.data import load_dataset
from usrn_keras.data.formats.lists import shipped_list
from usrn_keras.data.random_split import Share
from usrn_keras.data.split import SplitRequest, make_split
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


def _data(root, **settings):
    return DataSection(dataset="folder", root=str(root), **{"val": "val.txt", **settings})


def _names(samples):
    return [sample.name for sample in samples]


def test_the_recipe_finds_what_was_written(folder):
    data = _data(folder)
    made = make_split(data, SplitRequest(Share("1/3"), seed=3), recipe="mine")
    assert made.folder == folder / "splits/1_3_seed3" and made.keys == {"split": "splits/1_3_seed3"}
    read = load_dataset(data.model_copy(update=made.keys))
    assert read.fingerprint() == made.dataset.fingerprint()
    assert _names(read.val) == ["f"] and len(read.labelled) == 1 and len(read.unlabelled) == 4
    first = (made.folder / "labelled.txt").read_text().splitlines()[0]
    assert first == "# drawn by usrn split: seed 3, labelled 1/3 (1 of 3 images with masks), recipe mine"


def test_lists_that_the_split_replaces_are_taken_out(folder, files):
    files.names(folder / "l.txt", ["a", "b"])
    files.names(folder / "u.txt", ["street/c", "d"])
    data = _data(folder, labelled="l.txt", unlabelled="u.txt")
    made = make_split(data, SplitRequest(Share("1"), Share("1")), folder / "out")
    assert made.keys == {"split": "out", "labelled": "", "unlabelled": "", "val": ""}
    read = load_dataset(data.model_copy(update=made.keys))
    everything = (*read.labelled, *read.unlabelled, *read.val)
    assert sorted(_names(everything)) == ["a", "b", "d", "street/c"], "e was in none of the lists"


def test_outside_the_data_set_the_key_is_absolute(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "split"
    assert make_split(_data(folder), SplitRequest(Share("1")), out).keys == {"split": str(out)}


def test_a_data_set_that_lacks_what_the_split_gives(folder, files):
    for name in ("d", "street/e"):
        files.mask(folder / f"masks/{name}.png")
    made = make_split(_data(folder, val=""), SplitRequest(Share("2"), Share("2")))
    assert made.counts == {"labelled": 2, "unlabelled": 2, "val": 2, "test": 0}


def test_other_faults_are_named(folder, files):
    files.image(folder / "images/a.jpg")
    with pytest.raises(DataError, match="the data set cannot be split") as caught:
        make_split(_data(folder, val=""), SplitRequest(Share("2")))
    assert len(caught.value.errors) == 1 and "have the same name `a`" in caught.value.errors[0]


def test_without_val_images_nothing_is_written(folder):
    with pytest.raises(DataError, match="no validation images"):
        make_split(_data(folder, val=""), SplitRequest(Share("2")))
    assert not (folder / "splits").exists()


def test_a_name_that_a_list_cannot_hold_is_found_before_it_is_published(folder, files):
    for before, after in (("a", "#a"), ("b", "b.jpg"), ("d", "d e.jpg f")):
        (folder / f"images/{before}.png").rename(folder / f"images/{after}.png")
        if before != "d":
            (folder / f"masks/{before}.png").rename(folder / f"masks/{after}.png")
    with pytest.raises(DataError, match="a list cannot contain these names") as caught:
        make_split(_data(folder), SplitRequest(Share("2")))
    assert {fault.split(": ")[1] for fault in caught.value.errors} == {"`#a`", "`b.jpg`"}
    assert not (folder / "splits").exists()


def test_pixels_of_the_classes(folder, files):
    files.mask(folder / "masks/b.png", 2)
    made = make_split(_data(folder), SplitRequest(Share("2"), cover_classes=True))
    assert made.pixels.tolist() == [[0, 384, 192], [0, 192, 192]]
    value = made.to_json()
    assert value["pixels"][2] == {"name": "car", "all": 192, "labelled": 192}
    assert (
        value["folder"].endswith("splits/2_seed0_covering")
        and "pixels" not in make_split(_data(folder), SplitRequest(Share("1"))).to_json()
    )


@pytest.mark.parametrize("split", ["1_16", "", "1_8"])
def test_the_shipped_camvid_split_is_reproduced(tmp_path, split):
    for part in ("train", "val", "test"):
        for kind in ("images", "labels"):
            (tmp_path / kind / part).mkdir(parents=True)
            for name in shipped_list("camvid", part):
                (tmp_path / kind / part / f"{name}.png").touch()
    data = DataSection(dataset="camvid", root=str(tmp_path), split=split)
    made = make_split(data, SplitRequest(Share("1/8")))
    assert tuple(_names(made.dataset.labelled)) == shipped_list("camvid", "labelled_1_8_seed0")
    shipped = load_dataset(data.model_copy(update={"split": "1_8"}))
    assert made.dataset.fingerprint() == shipped.fingerprint()


def test_quickstart_splits_its_own_scenes(tmp_path, monkeypatch):
    from usrn_keras.data.quickstart import aerial_images

    make = aerial_images.make_quickstart
    small = {"labelled": 2, "unlabelled": 3, "val": 1, "test": 2, "size": (32, 48)}
    monkeypatch.setattr(aerial_images, "make_quickstart", lambda root: make(root, **small))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    data = DataSection(dataset="quickstart")
    made = make_split(data, SplitRequest(Share("3"), Share("1")))
    read = load_dataset(data.model_copy(update=made.keys))
    assert [len(part) for part in (read.labelled, read.unlabelled, read.val, read.test)] == [3, 1, 1, 2]
    assert all(sample.mask.exists() for sample in (*read.labelled, *read.val))
