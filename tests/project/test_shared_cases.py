"""What `usrn init` and `usrn data check` make of the files of the shared cases, one row per case."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tools import shared
from usrn_keras.data import Rules, load_dataset, read_mask
from usrn_keras.errors import DataError
from usrn_keras.inspection import inspect_data
from usrn_keras.project import ProjectRequest, create_project
from usrn_keras.recipe import load_recipe

# Folders of images and masks below the case, options, sizes of the parts with masks and of the images, and
# texts that notes or assumptions contain.
CASES = {
    "webp_90": ("webp_orientation/turned_90", "images", "masks", {}, (8, 12), []),
    "webp_180": ("webp_orientation/turned_180", "images", "masks", {}, (8, 12), []),
    "unused_masks": (
        *("unused_masks", "images", "masks", {}, (7, 14)),
        ["3 mask(s) do not match `{name}_mask` and are not used: p07_label.png, p08_label.png, p09_la"],
    ),
    "unused_masks, pattern": (
        *("unused_masks", "images", "masks", {"mask_pattern": "{name}_label"}, (3, 14)),
        ["7 mask(s) do not match `{name}_label`"],
    ),
    "dark_16_bits": (
        *("dark_16_bits", "images", "masks", {}, (8, 12)),
        ["12 image(s) have 16 bits and values from 204 to 2964: data.value_range = [0, 2964]"],
    ),
    "photos_left_out": (
        *("photos_left_out", "photos", "masks", {}, (8, 17)),
        ["3 pictures are left out", "1 AVIF (IMG_0045.avif)", "1 HEIC (IMG_0050.HEIC)", "IMG_0046.jp2"],
    ),
    "class_per_file": (
        *("class_per_file", "images", "masks", {}, (8, 12)),
        ["16 black-and-white masks of one class each", "the classes background, cat, dog"],
    ),
    "class_per_file, one class": (
        *("class_per_file", "images", "masks", {"mask_pattern": "{name}_dog"}, (8, 12)),
        ["8 mask(s) do not match `{name}_dog` and are not used: photo_0_cat.png"],
    ),
    "jpeg_masks": (
        *("black_and_white_jpeg_masks", "images", "jpeg_masks", {"mask_threshold": 127}, (8, 12)),
        ["values above 127 are the second class"],
    ),
    "soft_masks": (
        *("black_and_white_jpeg_masks", "images", "soft_masks", {"mask_threshold": 127}, (8, 12)),
        ["values above 127 are the second class"],
    ),
    "cvat": (
        *("cvat_labelmap/export", "JPEGImages", "SegmentationClass", {"names": "labelmap.txt"}, (8, 12)),
        [],
    ),
    "cvat, whole folder": (
        *("cvat_labelmap/export", ".", "."),
        {"mask_pattern": "SegmentationClass/{name}", "names": "labelmap.txt"},
        *((8, 12), ["image JPEGImages/{name}, mask SegmentationClass/{name} (8 pairs)"]),
    ),
    "scene_folders": (
        *("scene_folders", "data", "data", {}, (8, 12)),
        ["image rgb/{name}, mask mask/{name} (8 pairs)"],
    ),
    "four_planes": (
        *("bands_tiff", "four_planes", "masks", {}, (8, 12)),
        ['12 image(s) are each a TIFF of 4 bands of 8 bits: data.bands = ["red", "green", "blue", 4]'],
    ),
    "six_bands": (
        *("bands_tiff", "six_bands", "masks", {}, (8, 12)),
        ["12 image(s) are each a TIFF of 6 bands of 8 bits: data.bands = [1, 2, 3, 4, 5, 6]"],
    ),
}
CLASSES = ("background", "cat", "dog")


def create(tmp_path: Path, case: str, images: str, masks: str, options: dict):
    root = shared(f"cases/{case}")
    options = {key: str(root / value) if key == "names" else value for key, value in options.items()}
    request = ProjectRequest(root / images, root / masks, gpu=False, **options)
    return create_project(tmp_path / "p", request)


@pytest.mark.parametrize("case", CASES)
def test_every_file_is_used_or_named(tmp_path, case):
    folder, images, masks, options, (masked, total), texts = CASES[case]
    project = create(tmp_path, folder, images, masks, options)
    said = "\n".join((*project.notes, *project.assumptions))
    assert all(text in said for text in texts), said
    recipe = load_recipe(str(tmp_path / "p/p.toml"))
    dataset = load_dataset(recipe.data)
    parts = (dataset.labelled, dataset.unlabelled, dataset.val)
    assert len(dataset.labelled) + len(dataset.val) == masked and sum(map(len, parts)) == total
    inspection = inspect_data(recipe)
    assert not inspection.errors
    # Files that the project leaves out are named by the check, too.
    found = [one for one in inspection.notes if one.kind.name == "files_left_out"]
    left_out = {path.name for one in found for path in one.files}
    expected = {path.name for path in _named_in(said, shared(f"cases/{folder}"))}
    assert left_out == expected


def _named_in(said: str, root: Path) -> set[Path]:
    """Left-out files of the case that the notes count: pictures of other formats, and masks of no pattern."""
    found = {path for path in root.rglob("*") if path.suffix in (".avif", ".HEIC", ".jp2")}
    for pattern in ("_label", "_mask", "_cat"):
        if f"`{{name}}{pattern}`" not in said and "do not match" in said:
            found |= set((root / "masks").glob(f"*{pattern}.png"))
    return found | (set(root.glob("SegmentationObject/*.png")) if "JPEGImages/{name}" in said else set())


@pytest.mark.parametrize(
    ("case", "right"),
    [
        ("class_per_file", "class_per_file/right"),
        ("jpeg_masks", "black_and_white_jpeg_masks/right"),
        ("soft_masks", "black_and_white_jpeg_masks/right"),
    ],
)
def test_masks_are_the_right_ones(tmp_path, case, right):
    create(tmp_path, *CASES[case][:4])
    dataset = load_dataset(load_recipe(str(tmp_path / "p/p.toml")).data)
    for sample in (*dataset.labelled, *dataset.val):
        expected = read_mask(shared(f"cases/{right}/{sample.name}.png"), Rules())
        expected = expected > 0 if len(dataset.classes) == 2 else expected
        equal = read_mask(sample.mask, dataset) == expected
        # Smoothing has rounded the corners of the soft masks.
        assert equal.mean() > 0.998 if case == "soft_masks" else equal.all()


@pytest.mark.parametrize("case", ["cvat", "cvat, whole folder", "class_per_file"])
def test_names_are_those_of_the_case(tmp_path, case):
    create(tmp_path, *CASES[case][:4])
    assert load_dataset(load_recipe(str(tmp_path / "p/p.toml")).data).classes == CLASSES


REFUSED = {
    "label_studio": (
        *("class_per_file", "images", "label_studio", {}),
        ["names of Label Studio's brush export", "task list of Label Studio"],
    ),
    "jpeg_masks": (
        *("black_and_white_jpeg_masks", "images", "jpeg_masks", {}),
        ["the masks are JPEG or WebP files", "--mask-threshold 127"],
    ),
    "soft_masks": (
        *("black_and_white_jpeg_masks", "images", "soft_masks", {}),
        ["near 0 (black) or 255 (white)", "--mask-threshold 127"],
    ),
    "cvat": (
        *("cvat_labelmap", "export", "export", {}),
        ["--mask-pattern 'SegmentationClass/{name}' or --mask-pattern 'SegmentationObject/{name}'"],
    ),
    "floating": (
        *("bands_tiff", "floating", "masks", {}),
        ["12 images are each a TIFF of 3 bands of 32 bits (floating point)", "gdal_translate -ot UInt16"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_what_the_files_are(tmp_path, case):
    *arguments, texts = REFUSED[case]
    with pytest.raises(DataError) as raised:
        create(tmp_path, *arguments)
    assert all(text in str(raised.value) for text in texts), str(raised.value)
    assert not list(tmp_path.iterdir())  # nothing is half-written


def test_photos_added_after_init_are_named(tmp_path):
    root = shared("cases/unused_masks")
    shutil.copytree(root / "images", tmp_path / "images")
    create_project(tmp_path / "p", ProjectRequest(tmp_path / "images", root / "masks", gpu=False))
    shutil.copy(root / "images/p00.jpg", tmp_path / "images/later.jpg")
    found = [one.message for one in inspect_data(load_recipe(str(tmp_path / "p/p.toml"))).notes]
    assert any("1 image(s) in the folders are in no list and are not used: later.jpg" in one for one in found)
