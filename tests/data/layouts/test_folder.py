from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data import load_dataset, read_mask
from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.palette import voc_palette
from usrn_keras.errors import DataError
from usrn_keras.recipe.schema import Data


def _load(root, **settings):
    return load_dataset(Data(dataset="folder", root=str(root), **{"val": "val.txt", **settings}))


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
        ({"unlabelled": "empty.txt"}, "no unlabelled images"),
        ({"labelled": "empty.txt", "unlabelled": "labelled.txt"}, "labelled: there is no image `nobody`"),
        ({"labelled": "labelled.txt"}, r"labelled: there is no mask for .*d\.png"),
        ({"labelled": "outside.txt"}, "no path inside the data set"),
        ({"labelled": "val.txt"}, "`f` is in both labelled and val"),
        ({"unlabelled": "val.txt"}, "`f` is in both unlabelled and val"),
        ({"classes": ["x"]}, "at least 2 classes, there is only `x`"),
        ({"classes": ["x", "x"]}, "two classes are called `x`"),
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
    with pytest.raises(DataError, match="the classes have no names"):
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
        "no names" in text
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
    assert "there are no images at all where they should lie" in caught.value.faults
    assert len(caught.value.faults) == 4


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
    with pytest.raises(DataError, match="line 2: `a` stands in line 1 already"):
        _load(folder, image_pattern="{name}_rgb", labelled="labelled.txt")


def _colour_masks(folder):
    colours = np.array([[0, 0, 0], [10, 200, 30], [255, 0, 255], [7, 7, 7]], np.uint8)
    (folder / "palette.txt").write_text("# sky, road, car\n0 0 0\n10 200 30\n\n255 0 255\n")
    for path in (folder / "masks").rglob("*.png"):
        Image.fromarray(colours[np.array([[0, 1, 2, 3]])]).save(path)


def test_masks_in_the_colours_of_the_palette(folder):
    _colour_masks(folder)
    dataset = _load(folder, mask_format="colours", ignore_colours=[[7, 7, 7]])
    assert dataset.ignore_index == 255 and dataset.id_map is None
    np.testing.assert_array_equal(
        dataset.colour_map[1:], [[10, 200, 30, 1], [255, 0, 255, 2], [7, 7, 7, 255]]
    )
    np.testing.assert_array_equal(read_mask(dataset.labelled[0].mask, dataset), [[0, 1, 2, 255]])
    dataset = _load(folder, mask_format="colours")
    with pytest.raises(DataError, match=r"a\.png holds colours of no class: 7 7 7 \(1 pixels\)"):
        read_mask(dataset.labelled[0].mask, dataset)


@pytest.mark.parametrize(
    ("palette", "ignored", "fault"),
    [
        (None, [], r"data.mask_format = 'colours' needs the file .*palette\.txt"),
        ("0 0 0\n1 1 1\n", [], "has 2 colours for 3 classes"),
        ("0 0 0\n1 1 1\n0 0 0\n", [], "`sky` and `car` have the same colour 0 0 0"),
        ("0 0 0\n1 1 1\n2 2 2\n", [[1, 1, 1]], "data.ignore_colours: 1 1 1 is the colour of class `road`"),
        ("0 0 0\n1 1 1\n2 2 2\n", [[1, 1]], r"a colour is \[RED, GREEN, BLUE\], received \[1, 1\]"),
    ],
)
def test_faults_of_colours(folder, palette, ignored, fault):
    if palette is not None:
        (folder / "palette.txt").write_text(palette)
    with pytest.raises(DataError, match=fault):
        _load(folder, mask_format="colours", ignore_colours=ignored)


def test_values_of_the_classes_in_the_masks(folder, files):
    values = np.array([[0, 128, 255, 9]], np.uint8)
    files.mask(folder / "masks/a.png", values)
    dataset = _load(folder, mask_ids=[0, 255, 128], ignore_index=9)
    np.testing.assert_array_equal(read_mask(folder / "masks/a.png", dataset), [[0, 2, 1, 255]])
    dataset = _load(folder, mask_ids=[0, 255, 128], ignore_index=-1)
    with pytest.raises(DataError, match="outside the 3 ids of the data set: 9"):
        read_mask(folder / "masks/a.png", dataset)
    with pytest.raises(DataError, match=r"data\.mask_ids has 2 values for 3 classes"):
        _load(folder, mask_ids=[0, 255], ignore_index=9)


def test_without_ignore_index_255_is_not_allowed(folder, files):
    path = files.mask(folder / "masks/a.png", np.array([[0, 1, 2]], np.uint8))
    dataset = _load(folder, ignore_index=-1)
    assert dataset.ignore_index == 255
    np.testing.assert_array_equal(read_mask(path, dataset), [[0, 1, 2]])
    files.mask(path, np.array([[0, 255]], np.uint8))
    with pytest.raises(DataError, match="outside the 3 ids of the data set: 255"):
        read_mask(path, dataset)


def test_300_classes(folder, files):
    names = [f"c{number}" for number in range(300)]
    path = files.mask(folder / "masks/a.png", np.array([[0, 255, 299, 999]], np.uint16))
    for settings in ({"mask_ids": list(range(300)), "ignore_index": 999}, {"ignore_index": 999}):
        dataset = _load(folder, classes=names, **settings)
        mask = read_mask(path, dataset)
        assert mask.dtype == np.uint16 and mask[0, :3].tolist() == [0, 255, 299]
        assert mask[0, 3] == dataset.ignore_index == (65535 if "mask_ids" in settings else 999)
    with pytest.raises(DataError, match=r"data\.ignore_index = 255 is the id of class `c255`"):
        _load(folder, classes=names)


def test_with_faults_what_can_be_used_comes_back(folder, files):
    files.names(folder / "labelled.txt", ["a", "nobody", "d", "b"])
    faults = Faults()
    data = Data(dataset="folder", root=str(folder), labelled="labelled.txt", val="nowhere.txt")
    dataset = load_dataset(data, faults)
    assert _names(dataset.labelled) == ["a", "b"] and dataset.val == ()
    assert len(faults.lines) == 4
    assert faults.lines[0].endswith("nowhere.txt does not exist")
    faults = Faults()
    load_dataset(Data(dataset="folder", root=str(folder), val="val.txt"), faults)
    assert faults.lines == ()


def test_with_faults_without_masks_the_unlabelled_images_come_back(folder):
    faults = Faults()
    dataset = load_dataset(Data(dataset="folder", root=str(folder), masks="nowhere"), faults)
    assert len(dataset.unlabelled) == 6 and dataset.labelled == ()
    assert any("nowhere does not exist" in line for line in faults.lines)


@pytest.mark.parametrize("dataset", ["folder", "camvid", "voc", "cityscapes"])
def test_with_faults_without_a_root_there_is_nothing(dataset):
    faults = Faults()
    found = load_dataset(Data(dataset=dataset, root="/does/not/exist"), faults)
    assert faults.lines == ("data.root = `/does/not/exist` is no folder",)
    assert (found.labelled, found.unlabelled, found.val, found.test) == ((), (), (), ())
    with pytest.raises(DataError, match=r"data\.root = `/does/not/exist` is no folder") as caught:
        load_dataset(Data(dataset=dataset, root="/does/not/exist"))
    assert "ROOT/" in caught.value.hint
