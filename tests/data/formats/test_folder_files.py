from __future__ import annotations

import pytest

from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import DataSection


def _load(root, **settings):
    return load_dataset(DataSection(dataset="folder", root=str(root), **{"val": "val.txt", **settings}))


def _names(samples):
    return [sample.name for sample in samples]


def _move(folder, subfolder, pattern, into=None):
    """Rename the files of `images` or `masks` after a pattern, perhaps into another folder."""
    for path in sorted((folder / subfolder).rglob("*.*")):
        target = (into or folder / subfolder) / path.relative_to(folder / subfolder)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target.with_name(pattern.format(name=path.stem) + path.suffix))


@pytest.mark.parametrize(
    ("image_pattern", "mask_pattern"),
    [
        ("{name}", "{name}_mask"),
        ("{name}_rgb", "{name}"),
        ("img-{name}", "{name}-gt"),
        ("{name}_a", "m_{name}_b"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_patterns_of_names_with_masks_beside_the_images_or_apart(
    folder, image_pattern, mask_pattern, together
):
    _move(folder, "images", image_pattern)
    _move(folder, "masks", mask_pattern, folder / "images" if together else None)
    masks = "images" if together else "masks"
    dataset = _load(folder, image_pattern=image_pattern, mask_pattern=mask_pattern, masks=masks)
    assert _names(dataset.labelled) == ["a", "b", "street/c"]
    assert _names(dataset.unlabelled) == ["d", "street/e"]
    assert dataset.labelled[2].image.stem == image_pattern.format(name="c")
    assert dataset.labelled[2].mask == folder / masks / f"street/{mask_pattern.format(name='c')}.png"


def test_jpegs_with_masks_of_the_same_names_in_one_folder(folder, files):
    for path in sorted((folder / "images").rglob("*.png")):
        path.unlink()
        files.image(path.with_suffix(".jpg"))
    _move(folder, "masks", "{name}", folder / "images")
    dataset = _load(folder, masks="images")
    assert _names(dataset.labelled) == ["a", "b", "street/c"]
    assert {sample.image.suffix for sample in (*dataset.labelled, *dataset.unlabelled)} == {".jpg"}


def test_masks_in_a_folder_inside_that_of_the_images(folder):
    (folder / "masks").rename(folder / "images/gt")
    dataset = _load(folder, masks="images/gt")
    assert _names(dataset.unlabelled) == ["d", "street/e"], "masks are no images"
    (folder / "classes.txt").rename(folder / "images/classes.txt")
    (folder / "val.txt").rename(folder / "images/val.txt")
    dataset = _load(folder / "images", images=".", masks="gt")
    assert _names(dataset.labelled) == ["a", "b", "street/c"] and _names(dataset.unlabelled) == [
        "d",
        "street/e",
    ]


def test_the_working_folder_may_be_the_root(folder, monkeypatch):
    (folder / "masks").rename(folder / "images/street/gt")
    monkeypatch.chdir(folder / "images")
    (folder / "classes.txt").rename("classes.txt")
    (folder / "val.txt").rename("val.txt")
    dataset = _load(".", images=".", masks="street/gt")
    assert _names(dataset.labelled) == ["a", "b", "street/c"] and _names(dataset.unlabelled) == [
        "d",
        "street/e",
    ]


def test_absolute_folders(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (folder / "images").rename(elsewhere / "i")
    (folder / "masks").rename(elsewhere / "m")
    dataset = _load(folder, images=str(elsewhere / "i"), masks=str(elsewhere / "m"))
    assert dataset.labelled[0].image == elsewhere / "i/a.png"
    assert dataset.labelled[0].mask == elsewhere / "m/a.png"


@pytest.fixture
def apart(folder, files):
    """The folder data set with validation and test images in folders of their own, of the same names."""
    for part in ("val", "test"):
        for name in ("a", "z"):
            files.image(folder / f"{part}/images/{name}.png")
            files.mask(folder / f"{part}/masks/{name}.png")
    return folder


APART = {f"{part}_{kind}": f"{part}/{kind}" for part in ("val", "test") for kind in ("images", "masks")}


def test_validation_and_test_images_apart(apart):
    dataset = _load(apart, val="", **APART)
    assert _names(dataset.val) == ["val/a", "val/z"] and _names(dataset.test) == ["test/a", "test/z"]
    assert dataset.val[0].image == apart / "val/images/a.png"
    assert dataset.test[1].mask == apart / "test/masks/z.png"
    assert _names(dataset.labelled) == ["a", "b", "f", "street/c"]


def test_they_may_lie_inside_the_folder_of_the_images(apart):
    for part in ("val", "test"):
        (apart / part).rename(apart / "images" / part)
    dataset = _load(apart, val="", **{key: f"images/{folder}" for key, folder in APART.items()})
    assert _names(dataset.labelled) == ["a", "b", "f", "street/c"] and len(dataset.val) == 2


def test_a_list_takes_a_part_of_them(apart, files):
    files.names(apart / "some.txt", ["val/z.png"])
    dataset = _load(apart, val="some.txt", **APART)
    assert _names(dataset.val) == ["val/z"]


def test_an_image_apart_without_its_mask(apart):
    (apart / "val/masks/z.png").unlink()
    with pytest.raises(DataError, match=r"val: there is no mask for .*val/images/z\.png"):
        _load(apart, val="", **APART)


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"val_images": "val/images"}, "data.val_masks: missing"),
        ({"val_images": "nowhere", "val_masks": "val/masks"}, r"nowhere does not exist \(data\.val_images\)"),
        (
            {"val_images": "images", "val_masks": "masks"},
            "data.val_images and data.images are the same folder",
        ),
        ({"image_pattern": "a"}, "data.image_pattern: must be"),
    ],
)
def test_faults_of_folders_and_patterns(apart, settings, fault):
    with pytest.raises(DataError, match=fault):
        _load(apart, **settings)


def test_lists_may_hold_paths_from_the_root_or_file_names(folder, files):
    _move(folder, "images", "{name}_rgb")
    entries = ["images/street/c_rgb.png", "a_rgb.png", "/images/b_rgb.png /masks/b.png"]
    files.names(folder / "labelled.txt", entries)
    dataset = _load(folder, image_pattern="{name}_rgb", labelled="labelled.txt")
    assert _names(dataset.labelled) == ["street/c", "a", "b"]
    files.names(folder / "labelled.txt", ["a", "images/a_rgb.png"])
    with pytest.raises(DataError, match="line 2: `a` is already in line 1"):
        _load(folder, image_pattern="{name}_rgb", labelled="labelled.txt")
