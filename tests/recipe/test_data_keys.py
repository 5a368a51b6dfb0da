from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe, shipped_recipes
from usrn_keras.recipe.checks import data_contradictions
from usrn_keras.recipe.schema import DataSection

FOLDER = {"dataset": "folder", "root": "somewhere"}


@pytest.mark.parametrize("name", list(shipped_recipes()))
def test_shipped_recipes_do_not_contradict_themselves(name):
    assert list(data_contradictions(load_recipe(name).data)) == []


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"image_pattern": "{name}_rgb", "mask_pattern": "gt_{name}"},
        {"val_images": "a", "val_masks": "b", "test_images": "c", "test_masks": "d"},
        {"mask_format": "colours", "ignore_colours": [[0, 0, 0]]},
        {"mask_ids": [0, 255], "ignore_index": 128},
        {"mask_ids": [0, 255], "ignore_index": -1},
    ],
)
def test_what_goes_together(settings):
    assert list(data_contradictions(DataSection(**FOLDER, **settings))) == []


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"root": ""}, "data.root: missing"),
        (
            {"image_pattern": "rgb"},
            "data.image_pattern: must be a file name without suffix",
        ),
        ({"mask_pattern": "{name}{name}"}, "exactly once, such as {name}_mask, with or without a folder"),
        ({"mask_pattern": "{name}/mask"}, "data.mask_pattern: must be a file name"),
        ({"val_images": "a"}, "data.val_masks: missing; it names the masks of data.val_images"),
        ({"val_masks": "a"}, "data.val_images: missing; it names the images of data.val_masks"),
        ({"test_images": "a"}, "data.test_masks: missing"),
        (
            {"mask_format": "colours", "mask_ids": [0, 1]},
            "data.mask_ids: must be empty with data.mask_format",
        ),
        ({"ignore_colours": [[1, 2, 3]]}, "data.ignore_colours: needs data.mask_format = 'colours'"),
        (
            {"mask_format": "colours", "ignore_colours": [[1, 2]]},
            "must be [RED, GREEN, BLUE], received [1, 2]",
        ),
        ({"mask_ids": [0, 7, 7]}, "data.mask_ids: the value 7 is listed for two classes"),
        ({"mask_ids": [0, 255]}, "data.ignore_index: 255 is the value of a class in data.mask_ids"),
        (
            {"dataset": "voc", "mask_format": "colours"},
            "data.mask_format: used only with data.dataset =",
        ),
        ({"dataset": "camvid", "images": "x"}, "data.images: used only with data.dataset = 'folder'"),
    ],
)
def test_contradictions(settings, error):
    (found,) = data_contradictions(DataSection(**{**FOLDER, **settings}))
    assert error in found


def test_they_are_reported_with_every_other_error(tmp_path):
    text = shipped_recipes()["quickstart"].read_text().replace('"quickstart"', '"folder"\nval_images = "v"')
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(tmp_path / "r.toml"), ["views.scale_labelled=[2.0, 1.0]"])
    assert [error.split(":")[0] for error in caught.value.errors] == [
        "views.scale_labelled",
        "data.root",
        "data.val_masks",
    ]
