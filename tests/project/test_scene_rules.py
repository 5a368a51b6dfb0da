"""Rules where a folder of the path says what is an image and what a mask."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project.made_folders import write_mask, write_photo
from usrn_keras.data import load_dataset
from usrn_keras.data.name_pattern import Pattern, leave_out
from usrn_keras.errors import DataError
from usrn_keras.project import ProjectRequest, create_project
from usrn_keras.recipe import load_recipe


def make(root: Path, image: str, mask: str, scenes="ABC"):
    for scene in scenes:
        for i in range(3):
            write_photo(root / image.format(s=scene, i=i), seed=i)
            if i < 2:
                write_mask(root / mask.format(s=scene, i=i), (0, 1, 2))


@pytest.mark.parametrize(
    ("image", "mask", "names", "rule"),
    [
        ("d/{s}/rgb/{i}.jpg", "d/{s}/mask/{i}.png", "A/0", "image rgb/{name}, mask mask/{name}"),
        ("d/{s}/img/f{i}.png", "d/{s}/ann/f{i}.png", "A/f0", "image img/{name}, mask ann/{name}"),
        ("d/x/{s}/images/{i}.jpg", "d/x/{s}/labels/{i}_gt.png", "x/A/0", "mask labels/{name}_gt"),
        ("d/images/{s}/{i}.jpg", "d/labels/{s}/{i}.png", "A/0", "image images/{name}, mask labels/{name}"),
        ("d/{s}/{i}.jpg", "d/{s}/masks/{i}.png", "A/0", "image {name}, mask masks/{name}"),
    ],
)
def test_the_folder_that_differs_is_found(tmp_path, image, mask, names, rule):
    make(tmp_path, image, mask)
    project = create_project(tmp_path / "p", ProjectRequest(tmp_path / "d", tmp_path / "d", gpu=False))
    assert rule in project.rule and any(rule in line for line in project.assumptions)
    dataset = load_dataset(load_recipe(str(tmp_path / "p/p.toml")).data)
    parts = (*dataset.labelled, *dataset.val)
    assert len(parts) == 6 and len(dataset.unlabelled) == 3
    assert names in {sample.name for sample in (*parts, *dataset.unlabelled)}
    for sample in parts:
        assert sample.image.stem == sample.mask.stem.removesuffix("_gt")


def test_two_folders_of_masks_are_a_choice(tmp_path):
    make(tmp_path, "d/photos/{s}{i}.jpg", "d/classes/{s}{i}.png")
    make(tmp_path, "d/photos/{s}{i}.jpg", "d/objects/{s}{i}.png")
    request = {"images": tmp_path / "d", "masks": tmp_path / "d", "gpu": False}
    with pytest.raises(DataError, match="2 naming rules pair 6 images each") as raised:
        create_project(tmp_path / "p", ProjectRequest(**request))
    assert "--mask-pattern 'classes/{name}' or --mask-pattern 'objects/{name}'" in raised.value.hint
    project = create_project(tmp_path / "p", ProjectRequest(**request, mask_pattern="classes/{name}"))
    assert project.rule == "image photos/{name}, mask classes/{name}"


@pytest.mark.parametrize(
    ("pattern", "folder", "stem", "name"),
    [
        ("{name}_rgb", "a/b", "0_rgb", "a/b/0"),
        ("rgb/{name}", "a/rgb", "0", "a/0"),
        ("rgb/{name}", "rgb/a", "0", "a/0"),
        ("rgb/left/{name}", "a/rgb/left", "0", "a/0"),
        ("rgb/{name}", "a/rgbd", "0", None),
        ("rgb/{name}", "", "0", None),
    ],
)
def test_names_below_a_folder(pattern, folder, stem, name):
    assert Pattern.parse(pattern).find(folder, stem) == name
    assert str(Pattern.parse(pattern)) == pattern


@pytest.mark.parametrize("text", ["{name}/mask", "a/{name}/{name}", "/a/{name}", "mask", "{name}{name}"])
def test_what_is_no_pattern(text):
    assert Pattern.parse(text) is None


def test_the_last_of_equal_folders_is_left_out():
    assert leave_out("rgb/a/rgb", "rgb") == "rgb/a"
