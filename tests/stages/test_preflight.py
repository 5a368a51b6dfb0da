"""What would stop a run hours later is reported before the first step."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from usrn_keras.data import load_dataset
from usrn_keras.errors import DataError, RecipeError, RunError
from usrn_keras.methods import stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import start_run
from usrn_keras.stages import fit
from usrn_keras.stages.preflight import validate_unlabelled
from usrn_keras.stages.subclasses import cluster_run


def begun(folder) -> bool:
    return any(folder.glob("[0-9]-*"))


@pytest.mark.parametrize("command", [fit, cluster_run])
def test_counts_of_other_classes(recipe_file, tmp_path, command):
    recipe = load_recipe(str(recipe_file), ["subclasses.counts=[1, 2, 3]"])
    with pytest.raises(RecipeError, match=r"one count for each of the 2 classes of .*, received 3"):
        command(recipe, tmp_path / "run")
    assert not begun(tmp_path / "run")


@pytest.mark.parametrize("command", [fit, cluster_run])
def test_masks_without_any_class(recipe_file, tmp_path, command):
    for file in (recipe_file.parent / "data/masks").glob("[0-2].png"):
        Image.fromarray(np.full((40, 48), 255, np.uint8)).save(file)
    with pytest.raises(DataError, match="no labelled image of data has a pixel with a class: all 3 masks"):
        command(load_recipe(str(recipe_file)), tmp_path / "run")
    assert not begun(tmp_path / "run")


def test_best_weights_of_a_stage_that_kept_none(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file))
    with start_run(tmp_path / "run", recipe, load_dataset(recipe.data), stages_of(recipe)) as run:
        run.complete("1-baseline")
    best = ["evaluation.every=2", "evaluation.checkpoint=best"]
    with pytest.raises(RunError, match="kept no best weights of its baseline model, which is complete"):
        fit(load_recipe(str(recipe_file), best), tmp_path / "run")


@pytest.mark.parametrize(
    ("overrides", "needed"),
    [
        (["training.method=self_training"], True),
        (["training.method=cps", "cps.cutmix=true"], True),
        (["training.method=cct"], True),
        (["training.method=supervised"], False),
        (["training.method=usrn", "usrn.terms=['msl']"], False),
    ],
)
def test_a_method_without_unlabelled_images_is_refused_before_the_baseline(recipe_file, overrides, needed):
    recipe = load_recipe(str(recipe_file), overrides)
    dataset = replace(load_dataset(recipe.data), unlabelled=())
    context = pytest.raises(DataError, match="but data has none") if needed else contextlib.nullcontext()
    with context:
        validate_unlabelled(recipe, dataset)
