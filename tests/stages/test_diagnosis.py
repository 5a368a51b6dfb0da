"""Measurements of pseudo labels: when, and what a kill at any moment leaves of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from usrn_keras.data import load_dataset
from usrn_keras.evaluation.diagnosis_log import DiagnosisLog
from usrn_keras.methods import stages_of
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import Run, open_run, start_run
from usrn_keras.stages import cluster_run
from usrn_keras.stages.diagnosis import DiagnosisCallback, diagnosis_period
from usrn_keras.stages.train import train

STEPS = 4
USRN = "3-usrn"
KEYS = [f"training.usrn_steps={STEPS}", "usrn.threshold=0.4", "training.checkpoint_seconds=1000"]


class Killed(BaseException):
    """The process is gone."""


def train_usrn(recipe_file: Path, run_dir: Path, *overrides: str) -> Run:
    """The USRN stage of a run whose subclasses are complete."""
    recipe = load_recipe(str(recipe_file), [*KEYS, *overrides])
    dataset = load_dataset(recipe.data)
    with start_run(run_dir, recipe, dataset, stages_of(recipe)) as run:
        train(run, USRN, dataset, SILENT)
    return run


@pytest.fixture
def clustered(recipe_file, tmp_path) -> Path:
    """A run whose USRN is still to be trained."""
    recipe = load_recipe(str(recipe_file), KEYS)
    cluster_run(recipe, tmp_path / "clustered", plain=False)
    return tmp_path / "clustered"


def records(run: Run) -> list[dict]:
    return DiagnosisLog(run.stage(USRN) / "diagnosis.jsonl").records()


def weights(run: Run) -> dict[str, np.ndarray]:
    with np.load(run.stage(USRN) / "checkpoint.npz") as file:
        return {key: file[key] for key in file.files if key != "header"}


def test_measurements_do_not_change_training_and_a_kill_leaves_no_trace(
    recipe_file, clustered, tmp_path, monkeypatch
):
    blind = train_usrn(recipe_file, shutil.copytree(clustered, tmp_path / "blind"), "evaluation.diagnosis=0")
    assert not (blind.stage(USRN) / "diagnosis.jsonl").exists()
    options = ("evaluation.diagnosis=2",)
    whole = train_usrn(recipe_file, shutil.copytree(clustered, tmp_path / "whole"), *options)
    expected = records(whole)
    assert [record["step"] for record in expected] == [0, 2, 4]
    assert expected[0]["by_pseudo_label"] != expected[-1]["by_pseudo_label"]

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(
            DiagnosisLog, "append", killing(DiagnosisLog.append, SimpleNamespace(passed=0, kill_at=3))
        )
        train_usrn(recipe_file, clustered, *options)
    assert len(records(open_run(clustered))) == 1  # with the checkpoint of step 2 and without its record
    killed = train_usrn(recipe_file, clustered, *options)
    assert records(killed) == expected
    ours, *others = map(weights, (blind, whole, killed))
    for key, value in ours.items():
        for other in others:
            np.testing.assert_array_equal(value, other[key], err_msg=key)


def killing(function: Callable, state: SimpleNamespace) -> Callable:
    """The function, killed at the n-th moment before or after one of its calls, n = `state.kill_at`."""

    def moment() -> None:
        state.passed += 1
        if state.passed == state.kill_at:
            raise Killed

    def call(*arguments):
        moment()
        function(*arguments)
        moment()

    return call


def test_killed_at_every_moment_ends_with_the_same_records(recipe_file, tmp_path, monkeypatch):
    """The training loop as it saves, measures and resumes; what it measures depends on the step alone."""
    recipe = load_recipe(str(recipe_file), ["evaluation.diagnosis=2", "training.usrn_steps=5"])
    dataset, checkpoint, state = load_dataset(recipe.data), [0], SimpleNamespace(passed=0, kill_at=0)
    monkeypatch.setattr(DiagnosisLog, "append", killing(DiagnosisLog.append, state))
    monkeypatch.setattr(DiagnosisLog, "rewind", killing(DiagnosisLog.rewind, state))

    def go(run: Run) -> None:
        callback, weights = DiagnosisCallback(run, USRN, None, dataset, print), checkpoint[0]
        callback._quality = SimpleNamespace(record=lambda step: {"step": step, "seen": weights})
        callback.resume(weights)
        for step in range(weights + 1, 6):
            weights = step
            if callback.due(step):
                checkpoint[0] = step
                callback.after_step(step)

    with start_run(tmp_path / "run", recipe, dataset, stages_of(recipe)) as run:
        go(run)
        expected, moments = records(run), state.passed
        assert expected == [{"step": step, "seen": step} for step in (0, 2, 4, 5)] and moments == 10
        for state.kill_at in range(1, moments + 1):
            (run.stage(USRN) / "diagnosis.jsonl").unlink()
            state.passed = checkpoint[0] = 0
            with pytest.raises(Killed):
                go(run)
            go(run)
            assert records(run) == expected, state.kill_at


def test_a_training_that_starts_again_forgets_all_records(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file), ["evaluation.diagnosis=2"])
    dataset = load_dataset(recipe.data)
    with start_run(tmp_path / "run", recipe, dataset, stages_of(recipe)) as run:
        for step in (0, 2, 4):
            DiagnosisLog(run.stage(USRN) / "diagnosis.jsonl").append({"step": step, "seen": "before"})
        callback = DiagnosisCallback(run, USRN, None, dataset, print)
        callback._quality = SimpleNamespace(record=lambda step: {"step": step, "seen": "again"})
        callback.resume(0)
    assert records(run) == [{"step": 0, "seen": "again"}]


@pytest.mark.parametrize(
    ("setting", "steps", "period"),
    # A measurement of 2 images of 64 x 64 pixels is 1.5 * 2 * 64 * 64 / (14 * 32 * 32) = 0.86 steps: 43 at
    # 2 % of the time.
    [(7, 100, 7), (0, 100, 0), (-1, 1000, 100), (-1, 431, 44), (-1, 20, 43)],
)
def test_period(recipe_file, setting, steps, period):
    recipe = load_recipe(str(recipe_file), [f"evaluation.diagnosis={setting}"])
    assert diagnosis_period(recipe, load_dataset(recipe.data).unlabelled, steps) == period


def test_without_unlabelled_images_there_are_no_records(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file), ["evaluation.diagnosis=2"])
    dataset = SimpleNamespace(unlabelled=())
    with start_run(tmp_path / "run", recipe, load_dataset(recipe.data), stages_of(recipe)) as run:
        callback = DiagnosisCallback(run, USRN, None, dataset, print)
        callback.resume(0)
    assert not callback.due(0) and not callback.due(STEPS) and records(run) == []
