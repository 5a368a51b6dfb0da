"""The verdict: what it says of a run that gained, of one that lost, and where something is unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.report.test_pseudo_label_rates import record
from usrn_keras.metrics import Scores
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.report.run_summary import RunSummary
from usrn_keras.report.verdict import verdict

CLASSES = ("road", "pole", "sign", "train")
BASELINE = [[90, 0, 0, 0], [10, 0, 0, 0], [0, 0, 10, 0], [0, 0, 0, 0]]
BETTER = [[90, 0, 0, 0], [5, 5, 0, 0], [2, 0, 8, 0], [0, 0, 0, 0]]
STAGES = [
    Train("baseline", "Baseline", "supervised", 100, "training.baseline_steps", 0.1),
    Train("usrn", "USRN", "usrn", 200, "training.usrn_steps", 0.1),
]


def summary(*confusions, **changes) -> RunSummary:
    names = ("Baseline", "USRN")
    scores = [Scores(name, CLASSES, confusion) for name, confusion in zip(names, confusions, strict=False)]
    known = {"recipe_file": "runs/a b/recipe.toml", "stages": STAGES[: len(scores)], "scores": scores}
    return RunSummary("runs/a b", CLASSES, np.zeros((4, 3), np.uint8), **(known | changes))


def texts(of: RunSummary, heading: str) -> list[str]:
    return [point.text for point in verdict(of).get(heading, [])]


def commands(of: RunSummary) -> list[str]:
    return [point.command for point in verdict(of)["What to do next"]]


def test_a_gain_is_given_for_all_classes_rare_ones_and_the_largest():
    mean, classes, chance, _ = texts(summary(BASELINE, BETTER), "Gain over Baseline")
    assert mean.startswith("mIoU rose from 63.3 % (Baseline) to 74.3 % (USRN), +10.9 points")
    assert classes == "Classes that gained most, in points: pole +50.0, road +2.8."
    assert "another seed" in chance


@pytest.mark.parametrize(
    ("method", "causes", "command"),
    [
        (
            "usrn",
            "self-training or longer training alone",
            "usrn table controls 'runs/a b/recipe.toml' --seeds 0,1,2 --folder 'runs/a b-controls'",
        ),
        (
            "fixmatch",
            "self-training or longer training alone",
            "usrn fit 'runs/a b/recipe.toml' --run 'runs/a b-control' "
            "--set training.method=supervised --set training.baseline_steps=300",
        ),
        (
            "self_training",
            "come from longer training alone",
            "usrn fit 'runs/a b/recipe.toml' --run 'runs/a b-control' "
            "--set training.method=supervised --set training.baseline_steps=300",
        ),
    ],
)
def test_a_gain_names_its_controls_and_their_command(method, causes, command):
    stages = [STAGES[0], replace(STAGES[1], method=method)]
    known = summary(BASELINE, BETTER, stages=stages, has_subclasses=method == "usrn")
    control = verdict(known)["Gain over Baseline"][-1]
    assert causes in control.text and control.command == command


@pytest.mark.parametrize("confusions", [(BASELINE,), (BASELINE, BASELINE), (BETTER, BASELINE)])
def test_no_gain_needs_no_control(confusions):
    found = verdict(summary(*confusions))
    assert not [point for points in found.values() for point in points if "alone" in point.text]


def test_a_loss_is_not_called_a_gain():
    gain = texts(summary(BETTER, BASELINE), "Gain over Baseline")
    assert gain[0].startswith("mIoU fell from 74.3 % (Baseline) to 63.3 % (USRN), -10.9")
    misses = texts(summary(BETTER, BASELINE), "What it still misses")
    assert misses[0] == "At or near IoU 0: pole 0.0 % (100 % predicted as road)."
    assert "Classes that lost against Baseline, in points: pole -50.0, road -2.8." in misses
    assert misses[-1].endswith("has the class: train.")


def test_without_a_class_near_zero_the_lowest_are_named():
    misses = texts(summary(BASELINE, BETTER), "What it still misses")
    assert misses[0] == (
        "No class is near IoU 0. The lowest: pole 50.0 % (50 % predicted as road); "
        "sign 80.0 % (20 % predicted as road); road 92.8 %."
    )


def test_a_method_without_a_gain_is_compared_with_another_and_a_weak_class_gets_masks():
    masks, method, seed = commands(summary(BASELINE, BASELINE))
    assert masks == "usrn fit 'runs/a b/recipe.toml' --run 'runs/a b-more-masks'"
    assert method.endswith("--set training.method=self_training --reuse 'runs/a b'")
    assert seed == "usrn fit 'runs/a b/recipe.toml' --run 'runs/a b-seed-1' --set training.seed=1"
    text = texts(summary(BASELINE, BASELINE), "What to do next")[0]
    assert text.startswith("Label more images that show pole. Add the masks")


def test_a_supervised_run_is_told_that_the_unlabelled_images_wait():
    known = summary(BASELINE)
    assert list(verdict(known)) == ["Result", "What it still misses", "What to do next"]
    assert any("training.method=self_training" in command for command in commands(known))


@pytest.mark.parametrize(("key", "still"), [("supervised", True), ("val_miou", True), ("flat", False)])
def test_more_steps_only_where_it_still_improved(key, still):
    rising = [{"step": i, key: 0.1 + i / 20} for i in range(16)]
    falling = [{"step": i, key: 1 / (1 + i)} for i in range(16)]
    flat = [{"step": i, "loss": 1.0} for i in range(16)]
    records = {"supervised": falling, "val_miou": rising, "flat": flat}[key]
    found = commands(summary(BASELINE, BETTER, training={"Baseline": flat, "USRN": records}))
    assert any("--set training.usrn_steps=400" in command for command in found) == still
    assert not any("baseline_steps" in command for command in found)


def test_the_second_head_changed_some_labels_and_some_of_those_were_wrong():
    dropped = record(40)
    for name in ("by_pseudo_label", "by_true_class"):
        dropped[name] = dropped[name] | {"overridden": [0, 0]}
    dropped["quality"] = {
        "corrected": {"chosen": [4, 0], "right": [4, 0]}, "own": {"chosen": [8, 0], "right": [5, 0]},
        "sub": {"chosen": [1, 0], "right": [1, 0]}, "dropped": {"chosen": [4, 0], "right": [1, 0]},
    }  # fmt: skip
    two = summary(BASELINE, BETTER, pseudo_labels=[dropped])
    two.classes = CLASSES[:2]
    changed, effect = texts(two, "Pseudo labels")
    assert changed == (  # 4 dropped; 4 remain above gamma
        "The second head changed 50.0 % of the pseudo labels; 75.0 % of those were wrong, at step 40, on 3 "
        "unlabelled images."
    )
    assert "37.5 % of the pseudo labels were wrong, after it 0.0 %: it removes wrong labels" in effect


NO_MASKS = {
    "masks": 0,
    "quality": {
        source: {"chosen": [0, 0], "right": [0, 0]} for source in ("corrected", "own", "sub", "dropped")
    },
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (NO_MASKS, "How many pseudo labels are wrong is unknown: the unlabelled images have no masks."),
        ({}, "How many of the overridden labels were wrong is not recorded."),
    ],
)
def test_what_is_unknown_about_pseudo_labels_is_said(changes, expected):
    known = summary(BASELINE, BETTER, pseudo_labels=[record(40, **changes)])
    known.classes = CLASSES[:2]
    assert texts(known, "Pseudo labels")[-1] == expected


def test_pseudo_labels_that_were_not_measured_have_the_reason():
    known = summary(BASELINE, BETTER, missing={"pseudo_labels": "evaluation.diagnosis = 0."})
    assert texts(known, "Pseudo labels") == ["evaluation.diagnosis = 0."]


def test_a_run_of_an_earlier_version_gets_advice_without_commands():
    known = summary(BASELINE, BASELINE, recipe_file="")
    assert set(commands(known)) == {""}


def test_a_run_without_scores_is_resumed():
    assert commands(summary()) == ["usrn fit 'runs/a b/recipe.toml' --run 'runs/a b'"]
    assert verdict(summary(recipe_file="")) == {}
