"""The sheet shows the batch of training, bit for bit where nothing is resized."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
from PIL import Image

from usrn_keras.data import Dataset, as_rgb, load_dataset
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.inspection import contact_sheet
from usrn_keras.inspection.contact_sheet import _described, _unlabelled, first_views, views_png
from usrn_keras.inspection.legend import MAX_ENTRIES, Legend
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.strong_view import strong_view


def load(recipe_file, *overrides):
    recipe = load_recipe(str(recipe_file), list(overrides))
    return recipe, load_dataset(recipe.data)


def test_views_are_those_of_the_first_batches(recipe_file):
    recipe, dataset = load(recipe_file)
    labelled, unlabelled = first_views(recipe, dataset, 3)  # a batch has 2
    batches = build_batches(recipe, dataset)
    first, second = batches.batch(0), batches.batch(1)
    assert len(labelled) == len(unlabelled) == 3
    assert (labelled[1].image == first["labelled"][1]).all() and (
        labelled[1].labels == first["labels"][1]
    ).all()
    assert (labelled[2].image == second["labelled"][0]).all()
    assert [view.name for view in (*labelled[:2], *unlabelled[:2])] == batches.names(0)
    views = keras.ops.convert_to_numpy(strong_view(first["weak"], first["strong_parameters"]))
    assert (unlabelled[0].weak == first["weak"][0]).all()
    assert np.abs(unlabelled[0].strong - views[0]).max() <= 0.5


def test_jitter_of_labelled_images_is_shown(recipe_file):
    recipe, dataset = load(recipe_file, "views.labelled_jitter=true")
    labelled, _ = first_views(recipe, dataset, 1)
    batch = build_batches(recipe, dataset).batch(0)
    views = keras.ops.convert_to_numpy(strong_view(batch["labelled"], batch["labelled_parameters"]))
    assert np.abs(labelled[0].image - views[0]).max() <= 0.5
    assert (labelled[0].image != batch["labelled"][0]).any()


def test_a_strong_view_made_by_the_loader_is_shown_as_it_is():
    batch = {"weak": np.zeros((1, 32, 32, 3), np.uint8), "strong": np.full((1, 32, 32, 3), 7, np.uint8)}
    (view,) = _unlabelled(batch, ["a.png"])
    assert (view.strong == 7).all() and view.parameters is None


def picture(recipe_file, count, *overrides):
    return Image.open(io.BytesIO(views_png(load(recipe_file, *overrides)[0], count)))


def test_the_sheet_holds_each_view(recipe_file, monkeypatch):
    monkeypatch.setattr(contact_sheet, "CELL", 64)  # twice the crop
    drawn = picture(recipe_file, 2)
    recipe, dataset = load(recipe_file)
    labelled, _ = first_views(recipe, dataset, 2)
    top = contact_sheet.HEADER + 64 + contact_sheet.CAPTION
    cell = np.asarray(drawn)[top : top + 64, contact_sheet.MARGIN : contact_sheet.MARGIN + 64]
    assert (cell == contact_sheet.resized(labelled[1].image, 64)).all()
    assert picture(recipe_file, 3).height - drawn.height == 64 + contact_sheet.CAPTION


def test_without_strong_views_there_is_one_column_less(recipe_file):
    step = contact_sheet.CELL + contact_sheet.GAP
    assert picture(recipe_file, 1).width - picture(recipe_file, 1, "views.strong=none").width == step


@pytest.mark.parametrize(
    ("parameters", "lines"),
    [
        ([1, 1, 1, 0, 0, 0], ("colours unchanged", "")),
        ([1, 1, 1, 0, 1, 1], ("colours unchanged", "grey, blurred")),
        ([1.2, 0.8, 1, -0.1, 0, 1], ("brightness 1.20, contrast 0.80", "saturation 1.00, hue -36°, blurred")),
    ],
)
def test_a_strong_view_is_described(parameters, lines):
    assert contact_sheet._described(np.array(parameters, np.float32)) == lines


def test_a_long_name_loses_its_middle():
    name = "a" * 200 + "end"
    short = contact_sheet._fitting(name)
    assert short.startswith("aaa") and short.endswith("end") and "…" in short
    assert contact_sheet.SMALL.getlength(short) <= contact_sheet.CELL
    assert contact_sheet._fitting("short") == "short"


def dataset_of(count: int) -> Dataset:
    palette = np.zeros((count, 3), np.uint8)
    return Dataset("x", tuple(f"class {i}" for i in range(count)), palette, (), (), ())


def test_the_legend_gives_shares_from_the_most_frequent_down():
    labels = np.array([[1, 1, 1, 0, 255, 255, 255, 255]])
    legend = Legend(dataset_of(3), [labels])
    assert [(name, share) for name, share, _ in legend.entries] == [
        ("class 1", 3 / 8),
        ("class 0", 1 / 8),
        ("class 2", 0),
        ("ignored or padding", 0.5),
    ]


def test_a_legend_of_many_classes_ends_with_their_number():
    legend = Legend(dataset_of(MAX_ENTRIES + 40), [np.zeros((2, 2), np.int32)])
    assert len(legend.entries) == MAX_ENTRIES + 1 and legend.hidden == 40
    sheet_image = Image.new("RGB", (1000, legend.height(1000)), "white")
    legend.draw(sheet_image, 0, 0, 1000)
    below = np.asarray(sheet_image)[-40:]
    assert below.min() < 200  # the line that counts the others fits the height
    assert (np.asarray(sheet_image)[-4:] == 255).all()


@pytest.mark.parametrize("visible", [(2, 1, 0), (-1, -1, -1)])
def test_views_of_other_bands_are_shown_as_rgb(visible):
    bands = parse_bands(["blue", "green", "red", "nir"] if visible[0] == 2 else [1, 2, 3, 4])
    weak = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 4), dtype=np.uint8)
    parameters = np.array([[1, 1, 1, 0, 0, 1, *visible]], np.float32)
    (view,) = _unlabelled({"weak": weak, "strong_parameters": parameters}, ["a.tif"], bands)
    np.testing.assert_array_equal(view.weak, as_rgb(weak[0], bands))
    assert view.strong.shape == (32, 32, 3)
    expected = (
        ("colours unchanged", "blurred") if visible[0] == 2 else ("brightness 1.00, contrast 1.00", "blurred")
    )
    assert _described(view.parameters) == expected
