"""`usrn fit --dry-run`: what is known of the data, and steps that are measured in a child process."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.backends import COMPILES
from usrn_keras.budget.budget import DataFacts, MeasuredStep
from usrn_keras.budget.step_sizes import StepSizes
from usrn_keras.data import load_dataset
from usrn_keras.errors import OutOfMemoryError, USRNError
from usrn_keras.methods import stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import start_run
from usrn_keras.stages import dry_run as dry_run_module
from usrn_keras.stages.step_trial import made_up_subclasses

GB = 10**9
PART = {
    "network": 0,
    "branch": "both",
    "part": "stem",
    "shape": (8, 8, 32),
    "trained": 1000,
    "not_trained": 64,
}


def dry_run(recipe_file, *args: str):
    command = ["fit", str(recipe_file), "--dry-run", "--run", str(recipe_file.parent / "run"), *args]
    return CliRunner().invoke(main, command)


def reported(recipe_file, *args: str) -> dict:
    result = dry_run(recipe_file, "--json", *args)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_measured_in_a_child_process(recipe_file):
    before = sorted(recipe_file.parent.rglob("*"))
    budget = reported(recipe_file)
    assert sorted(recipe_file.parent.rglob("*")) == before
    facts = budget["facts"]
    assert facts["images"] == {"labelled": 3, "unlabelled": 2, "val": 1, "test": 0}
    assert (facts["classes"], facts["classes_from"], facts["notes"]) == (2, "of the data set", [])
    # three masks of 48 x 40 with 12 x 10 pixels of a car each
    assert facts["subclasses"] == 1 + 1920 // 120 - 1
    measured = [step["sizes"]["batch_labelled"] for step in budget["measured"]]
    assert measured == [2, 4] or (measured == [2] and COMPILES)  # a busy machine may compile for a minute
    # A process with Keras and a backend holds 0.3 to 3 GB; a step of so small a network takes milliseconds.
    for step in budget["measured"]:
        assert 0.3 * GB < step["peak"] < 3 * GB and 0 < step["seconds"] < 60
    # 3 + 2 images of 48 x 40 are kept in memory
    assert budget["peak"] >= budget["measured"][0]["peak"] + 5 * 48 * 40 * 3
    baseline, usrn = (budget["seconds"][stage] for stage in budget["flops"])
    assert 0 < baseline < usrn == pytest.approx(budget["measured"][0]["seconds"])
    assert budget["hours"] == pytest.approx((4 * baseline + 4 * usrn) / 3600)
    assert budget["device"]["room"] > budget["peak"] and budget["fits"] is True and budget["advice"] == []


@pytest.fixture
def trial(monkeypatch):
    """Replaces the child process: a step of n images takes 1 GB and n / 10 GB, and n seconds."""

    def replace(*, room: int | None = 10 * GB, failed: bool = False, within: int = 2) -> None:
        def measured(recipe, counts):
            sizes = [StepSizes(n, n, recipe.views.crop_size) for n in (2, 4)]
            steps = [MeasuredStep(one, GB + one.images * GB // 10, float(one.images)) for one in sizes]
            network = {
                "device": {"backend": "torch", "gpu": False, "room": room},
                "parts": (PART,),
                "flops": {
                    "Baseline": {"labelled": GB},
                    "USRN": {"labelled": GB, "weak": GB, "strong": 2 * GB},
                },
                "stage": "USRN",
                "trainable": 1000,
            }
            return network, [] if failed else steps[:within], steps[0].sizes if failed else None

        monkeypatch.setattr(dry_run_module, "_try_steps", measured)

    return replace


def test_tables_for_people(recipe_file, trial):
    trial()
    result = dry_run(recipe_file)
    assert result.exit_code == 0, result.stderr
    for text in (
        "recipe on torch, CPU", "counted in the masks", "8 x 8 x 32", "1,000", "Operations of a step, 1e9",
        "measured steps of 4 images (1.40 GB, 4 s) and 8 images (1.80 GB, 8 s)", "4 + 4",
        "about 20 s (a step: 1 s of Baseline, 4 s of USRN)", "Verdict: fits.",
        "A step of 2 labelled and 2 unlabelled images of 32 x 32 needs about 1.40 GB;",
        "10.00 GB are available on this machine.",
    ):  # fmt: skip
        assert text in " ".join(result.stdout.split())


def test_the_largest_batch_that_fits_is_advised(recipe_file, trial):
    trial(room=4 * GB)
    large = ["--set", "training.batch_labelled=32", "--set", "training.batch_unlabelled=32"]
    budget = reported(recipe_file, *large)
    assert budget["fits"] is False and budget["peak"] == pytest.approx(7.4 * GB, rel=0.01)
    assert budget["advice"] == [
        "training.batch_labelled=8", "training.batch_unlabelled=8", "training.accumulation=4",
        "training.baseline_steps=16", "training.usrn_steps=16",
    ]  # fmt: skip
    assert (
        reported(recipe_file, *(word for one in budget["advice"] for word in ("--set", one)))["fits"] is True
    )
    text = " ".join(dry_run(recipe_file, *large).stdout.split())
    assert "Verdict: does not fit. A step of 32 labelled and 32 unlabelled images of 32 x 32 needs" in text
    assert "Settings that would fit: --set training.batch_labelled=8 " in text


def test_no_smaller_step_fits(recipe_file, trial):
    trial(room=1000)
    assert "No smaller step is known to fit" in dry_run(recipe_file).stdout
    trial(failed=True)
    text = " ".join(dry_run(recipe_file).stdout.split())
    assert "Measuring a step of 2 labelled and 2 unlabelled images of 32 x 32 ran out of memory" in text
    assert "--set views.crop_size" in text


def test_a_device_of_unknown_memory(recipe_file, trial):
    trial(room=None)
    assert "Verdict: unknown." in dry_run(recipe_file).stdout


def test_what_was_not_measured_in_time_is_said(recipe_file, trial):
    trial(within=1)
    text = " ".join(dry_run(recipe_file).stdout.split())
    assert "Only one size was measured" in text and "Verdict: fits." in text
    trial(within=0)
    text = " ".join(dry_run(recipe_file).stdout.split())
    assert "Verdict: unknown. No step was measured within the time limit; 10.00 GB are available" in text


def test_a_child_that_is_late_leaves_what_it_has_measured(recipe_file, monkeypatch):
    monkeypatch.setattr(dry_run_module, "TRIAL_SECONDS", 3)
    monkeypatch.setattr(dry_run_module, "TRIAL", "tests.cli.killed_trials:hanging_in_the_second_step")
    budget = reported(recipe_file)
    assert [step["sizes"]["batch_labelled"] for step in budget["measured"]] == [2]
    assert budget["failed"] is None and [row["fits"] for row in budget["table"]] == [True, True, True]
    monkeypatch.setattr(dry_run_module, "TRIAL", "tests.cli.killed_trials:hanging")
    result = dry_run(recipe_file)
    assert result.exit_code == USRNError.exit_code
    assert "the network was not built within 3 s" in result.stderr


def test_a_child_that_the_system_kills_ran_out_of_memory(recipe_file, monkeypatch):
    monkeypatch.setattr(dry_run_module, "TRIAL", "tests.cli.killed_trials:in_the_second_step")
    budget = reported(recipe_file)
    assert [step["sizes"]["batch_labelled"] for step in budget["measured"]] == [2]
    assert budget["failed"]["batch_labelled"] == 4 and budget["fits"] is True
    assert [row["fits"] for row in budget["table"]] == [True, False, False]


def test_a_child_that_is_killed_while_it_builds(recipe_file, monkeypatch):
    monkeypatch.setattr(dry_run_module, "TRIAL", "tests.cli.killed_trials:at_once")
    result = dry_run(recipe_file)
    assert result.exit_code == OutOfMemoryError.exit_code
    assert "memory ran out while the network was built" in result.stderr


def test_a_supervised_method_takes_no_unlabelled_images(recipe_file):
    recipe = load_recipe(str(recipe_file), ["training.method=supervised"])
    assert dry_run_module.step_sizes(recipe) == StepSizes(2, 0, 32)


def test_subclasses_of_the_recipe_then_of_the_run_folder(recipe_file):
    settings = ("subclasses.counts=[2, 3]",)
    facts, counts = look(recipe_file, *settings)
    assert (counts, facts.subclasses_from) == ([2, 3], "subclasses.counts of the recipe")
    recipe, folder = load_recipe(str(recipe_file)), recipe_file.parent / "run"
    with start_run(folder, recipe, load_dataset(recipe.data), tuple(stages_of(recipe))) as run:
        subclasses = run.stage(run.cluster_stage)
        subclasses.mkdir()
        made_up_subclasses([4, 2]).save(subclasses)
        run.complete(run.cluster_stage)
    facts, counts = look(recipe_file, *settings)
    assert (counts, facts.subclasses_from) == ([4, 2], f"of {folder}")


def look(recipe_file, *settings: str) -> tuple[DataFacts, list[int]]:
    """What is found of the data, and the number of subclasses of each class."""
    recipe = load_recipe(str(recipe_file), list(settings))
    facts, counts, _ = dry_run_module.look_at_data(recipe, recipe_file.parent / "run")
    return facts, counts.tolist()


def test_some_masks_are_enough(recipe_file, monkeypatch):
    monkeypatch.setattr(dry_run_module, "MASK_PIXELS", 2 * 40 * 48)
    assert look(recipe_file)[0].subclasses_from == "counted in 2 of 3 masks"


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
    facts, counts = look(recipe_file, "data.root=nowhere", *settings)
    assert (facts.classes, len(counts), facts.classes_from) == (classes, classes, classes_from)
    assert "`nowhere` is not a folder" in facts.notes[0]


def test_a_missing_data_set_is_no_error(recipe_file, trial):
    trial()
    budget = reported(recipe_file, "--set", "data.root=nowhere")
    facts = budget["facts"]
    assert (facts["images"], facts["subclasses"]) == ({}, 8 * 21)
    assert facts["subclasses_from"] == "assumed: 8 for each class"
    assert "training would stop here" in facts["notes"][0]
    # as many decoded images as are kept at most
    assert budget["peak"] == pytest.approx(1.4 * GB + 512 * 2**20)


def test_masks_that_cannot_be_read_are_a_note(recipe_file):
    (recipe_file.parent / "data/masks/0.png").write_bytes(b"no png")
    facts, counts = look(recipe_file)
    assert counts == [8, 8] and "0.png" in facts.notes[0]
