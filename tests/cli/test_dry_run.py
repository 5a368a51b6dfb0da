from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.budget import device
from usrn_keras.recipe import Recipe
from usrn_keras.runs import SUBCLASSES, start_run
from usrn_keras.stages import dry_run as dry_run_module


def dry_run(recipe_file, *args: str, run: Path | None = None):
    folder = recipe_file.parent / "run" if run is None else run
    return CliRunner().invoke(main, ["fit", str(recipe_file), "--dry-run", "--run", str(folder), *args])


def told(recipe_file, *args: str, **options) -> dict:
    result = dry_run(recipe_file, "--json", *args, **options)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_tables_for_people_and_no_trace(recipe_file):
    before = sorted(recipe_file.parent.rglob("*"))
    result = dry_run(recipe_file)
    assert result.exit_code == 0, result.stderr
    for text in (
        "recipe on torch, CPU", "3", "counted in the masks", "batch, height, width, subclasses",
        "2 x 32 x 32 x 3", "weights, optimizer", "32 + 32", "Verdict: fits.",
    ):  # fmt: skip
        assert text in result.stdout
    assert sorted(recipe_file.parent.rglob("*")) == before


def test_json_for_machines(recipe_file):
    budget = told(recipe_file)
    facts = budget["facts"]
    assert facts["images"] == {"labelled": 3, "unlabelled": 2, "val": 1, "test": 0}
    assert (facts["classes"], facts["classes_from"], facts["notes"]) == (2, "of the data set", [])
    # three masks of 48 x 40 with 12 x 10 pixels of a car each
    assert facts["subclasses"] == 1 + 1920 // 120 - 1
    assert {flow["name"]: flow["shape"] for flow in budget["flows"]}["labelled: images"] == [2, 32, 32, 3]
    assert budget["flops"]["USRN"]["labelled"] > budget["flops"]["Baseline"]["labelled"]
    for memory in budget["memory"].values():
        assert memory["peak"] == sum(value for name, value in memory.items() if name != "peak")
    assert [row["sizes"]["batch_labelled"] for row in budget["table"]] == 2 * [2, 4, 8, 16, 32]
    assert budget["fits"] is True and budget["advice"] == []


def test_a_baseline_that_nothing_comes_after(recipe_file):
    supervised = ("--set", "training.method=supervised")
    budget = told(recipe_file, *supervised)
    both = told(recipe_file)
    for key in ("flops", "memory"):
        assert list(budget[key]) == ["Baseline"] and list(both[key]) == ["Baseline", "USRN"]
    assert {row["branch"] for row in budget["parts"]} == {"F"}
    assert not any("unlabelled" in flow["name"] for flow in budget["flows"])
    assert {row["sizes"]["batch_unlabelled"] for row in budget["table"]} == {0}
    text = dry_run(recipe_file, *supervised).stdout
    assert "A step of 2 labelled images of 32 x 32 needs" in " ".join(text.split()) and "USRN" not in text


def test_adamw_keeps_more_than_sgd_of_either_method(recipe_file):
    sgd, adamw = (told(recipe_file, "--set", f"training.optimizer={name}") for name in ("sgd", "adamw"))
    for method in ("Baseline", "USRN"):
        assert adamw["memory"][method]["state"] > sgd["memory"][method]["state"]


def test_subclasses_of_the_recipe_then_of_the_run_folder(recipe_file, monkeypatch):
    facts = told(recipe_file, "--set", "subclasses.counts=[2, 3]")["facts"]
    assert (facts["subclasses"], facts["subclasses_from"]) == (5, "subclasses.counts of the recipe")
    recipe, folder = Recipe.load(str(recipe_file)), recipe_file.parent / "run"
    found = dry_run_module._look_at_data(recipe, folder)
    found.counts[:] = [4, 2]
    with start_run(folder, recipe, found.dataset) as run:
        run.stage(SUBCLASSES).mkdir()
        dry_run_module._made_up(found).save(run.stage(SUBCLASSES))
        run.complete(SUBCLASSES)
    facts = told(recipe_file)["facts"]
    assert (facts["subclasses"], facts["subclasses_from"]) == (6, f"of {folder}")


def look(recipe_file, *settings: str):
    """What is found of the data, without building a network."""
    recipe = Recipe.load(str(recipe_file), list(settings))
    return dry_run_module._look_at_data(recipe, recipe_file.parent / "run")


def test_some_masks_are_enough(recipe_file, monkeypatch):
    monkeypatch.setattr(dry_run_module, "MASK_PIXELS", 2 * 40 * 48)
    assert look(recipe_file).counts_from == "counted in 2 of 3 masks"


@pytest.mark.parametrize(
    ("settings", "classes", "classes_from"),
    [
        ([], 21, "assumed"),
        (['data.classes=["a", "b", "c"]'], 3, "data.classes of the recipe"),
        (["subclasses.counts=[1, 2, 3, 4]"], 4, "as many as there are subclasses.counts"),
        (['data.dataset="camvid"'], 11, "as camvid has"),
        (['data.dataset="voc"'], 21, "as voc has"),
        (['data.dataset="cityscapes"'], 19, "as cityscapes has"),
    ],
)
def test_classes_without_the_data_set(recipe_file, settings, classes, classes_from):
    found = look(recipe_file, "data.root=nowhere", *settings)
    assert (len(found.dataset.classes), found.classes_from) == (classes, classes_from)
    assert "`nowhere` is no folder" in found.notes[0]


def test_a_prediction_without_the_data_set(recipe_file):
    facts = told(recipe_file, "--set", "data.root=nowhere")["facts"]
    assert (facts["images"], facts["subclasses"]) == ({}, 8 * 21)
    assert facts["subclasses_from"] == "assumed: 8 for each class"
    assert "training would stop here" in facts["notes"][0]


def test_masks_that_cannot_be_read_are_a_note(recipe_file):
    (recipe_file.parent / "data/masks/0.png").write_bytes(b"no png")
    found = look(recipe_file)
    assert found.counts.tolist() == [8, 8] and "0.png" in found.notes[0]


def test_what_does_not_fit_and_what_would(recipe_file, monkeypatch):
    one = told(recipe_file, "--set", "training.batch_labelled=2", "--set", "training.batch_unlabelled=2")
    large = ["--set", "training.batch_labelled=4096", "--set", "training.batch_unlabelled=4096"]
    room = one["memory"]["USRN"]["peak"] + 300_000_000
    monkeypatch.setattr(device, "free_memory", lambda: room)
    monkeypatch.setattr(device, "process_memory", lambda: 0)
    budget = told(recipe_file, *large)
    assert budget["fits"] is False
    values = dict(setting.split("=") for setting in budget["advice"])
    times = 4096 // int(values["training.batch_labelled"])
    assert times > 1 and values["training.batch_unlabelled"] == values["training.batch_labelled"]
    assert values["training.accumulation"] == str(times)
    assert values["training.usrn_steps"] == str(4 * times)
    mended = [word for setting in budget["advice"] for word in ("--set", setting)]
    assert told(recipe_file, *mended)["fits"] is True

    result = dry_run(recipe_file, *large)
    assert "Verdict: does not fit: a step of 4096 labelled and 4096" in result.stdout
    assert "This would: --set training.batch_labelled=" in result.stdout
    monkeypatch.setattr(device, "free_memory", lambda: 1000)
    result = dry_run(recipe_file)
    assert "does not fit, nor does any smaller step" in result.stdout and " GB no " in result.stdout
    monkeypatch.setattr(device, "free_memory", lambda: None)
    assert "is not told here" in dry_run(recipe_file).stdout
