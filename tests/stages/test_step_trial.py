"""What the child process of a dry run builds and reports; tests/cli/test_dry_run.py has it measure."""

from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.budget.budget import MeasuredStep
from usrn_keras.data import read_sample_image
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.stages import step_trial
from usrn_keras.stages.step_trial import made_up_data, made_up_subclasses, try_steps

COUNTS = [2, 0, 3]


@pytest.fixture
def recipe(recipe_file):
    return load_recipe(str(recipe_file), ["training.batch_labelled=6"])


def test_made_up_images_give_whole_batches(recipe, tmp_path):
    subclasses = made_up_subclasses(COUNTS)
    dataset = made_up_data(tmp_path, 32, COUNTS)
    batch = build_batches(recipe, dataset, parents=subclasses.parents).batch(0)
    assert batch["labelled"].shape == (6, 32, 32, 3) and batch["weak"].shape == (2, 32, 32, 3)
    seen = batch["labels"] != 255
    assert set(batch["labels"][seen].tolist()) == {0, 2}  # there are no subclasses of a pole
    assert subclasses.parents[batch["sublabels"][seen]].tolist() == batch["labels"][seen].tolist()


def trial_of(recipe, folder, monkeypatch, measure) -> tuple[dict, list[dict]]:
    messages = []
    monkeypatch.setattr(step_trial, "_measure", measure)
    monkeypatch.setattr(step_trial, "_end_this_process_first", lambda: None)
    order = {"recipe": recipe.model_dump(mode="json"), "name": recipe.name, "subclasses": COUNTS}
    order |= {"folder": str(folder)}
    return try_steps(order, messages.append), messages


# USRN passes labelled images through both branches, the other method weak views alone: pooled, at stride 8.
@pytest.mark.parametrize(("name", "rows"), [("usrn", 8), ("prototype_ensemble", 4)])
def test_reports_of_the_network_and_of_each_step(recipe_file, tmp_path, monkeypatch, name, rows):
    settings = ["training.batch_labelled=6", f"training.method={name}", "training.start=baseline"]
    recipe = load_recipe(str(recipe_file), settings)
    methods = []

    def measure(method, recipe, dataset, subclasses, sizes):
        methods.append(method)
        return MeasuredStep(sizes, 2, 3.0)

    ended, (network, *steps) = trial_of(recipe, tmp_path, monkeypatch, measure)
    assert ended == {"out_of_memory": ""}
    assert [list(message) for message in steps] == 2 * [["try"], ["step"]]
    sizes = [
        (one["step"]["sizes"]["batch_labelled"], one["step"]["sizes"]["batch_unlabelled"])
        for one in steps[1::2]
    ]
    assert sizes == [(6, 2), (12, 4)]
    network, method = network["network"], methods[0]
    assert network["stage"] == list(network["flops"])[-1]
    parts = {(row["branch"], row["part"]): row for row in network["parts"]}
    assert len(parts) == len(network["parts"]) == 7  # the two branches share the stem
    assert ("both", "stem") in parts
    classifier = parts["F_sub", "classifier"]
    # a 1x1 convolution of 8 channels to 5 subclasses, and its bias
    assert classifier["trained"] + classifier["not_trained"] == (8 + 1) * 5
    assert classifier["shape"] == (rows, rows, 5)
    learnt = sum(np.prod(variable.shape) for variable in method.trainable_variables)
    assert sum(row["trained"] for row in network["parts"]) == network["trainable"] == learnt
    others = [variable for variable in method.non_trainable_variables if variable.dtype == "float32"]
    assert sum(row["not_trained"] for row in network["parts"]) == sum(np.prod(one.shape) for one in others)


def test_memory_that_runs_out_ends_the_trial(recipe, tmp_path, monkeypatch):
    def measure(method, recipe, dataset, subclasses, sizes):
        if sizes.batch_labelled > 6:
            raise MemoryError("no 5 GB")
        return MeasuredStep(sizes, 2, 3.0)

    ended, messages = trial_of(recipe, tmp_path, monkeypatch, measure)
    assert ended == {"out_of_memory": "MemoryError: no 5 GB"}
    assert [list(message) for message in messages] == [["network"], ["try"], ["step"], ["try"]]


def test_other_errors_are_raised(recipe, tmp_path, monkeypatch):
    def measure(*_):
        raise ValueError("a wrong shape")

    with pytest.raises(ValueError, match="a wrong shape"):
        trial_of(recipe, tmp_path, monkeypatch, measure)


def test_a_long_first_step_leaves_the_larger_one_out(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(step_trial, "LARGER_SECONDS", 0)
    ended, messages = trial_of(recipe, tmp_path, monkeypatch, lambda *given: MeasuredStep(given[-1], 2, 3.0))
    assert ended == {"out_of_memory": ""}
    assert [list(message) for message in messages] == [["network"], ["try"], ["step"]]


@pytest.mark.parametrize(
    ("settings", "stages"),
    [
        (["training.method=dsbn"], ["Baseline", "DSBN"]),
        (
            ["training.method=dars", "training.with_usrn=true", "usrn.on_disagreement=drop"],
            ["Baseline", "Teacher with F_sub", "DARS + USRN, round 1", "DARS + USRN"],
        ),
    ],
)
def test_methods_with_pseudo_masks_are_measured(recipe_file, tmp_path, monkeypatch, settings, stages):
    """With made-up masks; layers that two networks share are counted once."""
    recipe = load_recipe(str(recipe_file), settings)
    methods = []

    def measure(method, *arguments, original=step_trial._measure):
        methods.append(method)
        return original(method, *arguments)

    ended, (network, *steps) = trial_of(recipe, tmp_path, monkeypatch, measure)
    assert ended == {"out_of_memory": ""} and steps[1]["step"]["seconds"] > 0
    assert list(network["network"]["flops"]) == stages
    learnt = sum(np.prod(variable.shape) for variable in methods[0].trainable_variables)
    assert (
        sum(row["trained"] for row in network["network"]["parts"])
        == network["network"]["trainable"]
        == learnt
    )


def test_made_up_images_have_the_bands_of_the_recipe(tmp_path):
    bands = parse_bands(["red", "green", "blue", "nir"])
    dataset = made_up_data(tmp_path, 32, COUNTS, bands)
    image = read_sample_image(dataset.labelled[0])
    assert image.shape == (32, 32, 4) and dataset.labelled[0].bands.names == bands.names
