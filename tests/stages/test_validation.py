"""The best weights on val: which they are, and what a kill at any moment leaves of them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tests.evaluation.networks import red_dataset, red_reader
from usrn_keras.data import Dataset
from usrn_keras.errors import DataError
from usrn_keras.methods import stages_of
from usrn_keras.networks import load_segmenter
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import Run, start_run
from usrn_keras.runs.log import MetricsLog
from usrn_keras.stages import validation
from usrn_keras.stages.validation import ValidationCallback

STEPS = 5
USRN = "3-usrn"
CLASSES = 4
KNOWN = {2: 1, 4: 3, 5: 2}  # classes that the network knows when it is measured; step 4 is best


class Killed(BaseException):
    """The process is gone."""


class Branch:
    """F that knows the classes `KNOWN[step]`, and the step of its last checkpoint."""

    def __init__(self):
        self.checkpoint = 0
        self._model = red_reader(CLASSES)
        self._kernel, self._bias = self._model.layers[-1].get_weights()

    def segmenter(self) -> keras.Model:
        return self._model

    def set_step(self, step: int) -> None:
        never = np.where(np.arange(CLASSES) < KNOWN.get(step, 0), 0, -1e6).astype("float32")
        self._model.layers[-1].set_weights([self._kernel, self._bias + never])

    def train(self, run: Run, dataset: Dataset) -> None:
        """What the training loop does with its validation, from the last checkpoint to the end."""
        callback = ValidationCallback(run, USRN, self, dataset)
        self.set_step(self.checkpoint)
        callback.resume(self.checkpoint)
        for step in range(self.checkpoint + 1, STEPS + 1):
            self.set_step(step)
            due = callback.due(step)
            if due or step == STEPS:
                self.checkpoint = step
            if due:
                callback.after_step(step)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return red_dataset(tmp_path, [(20, 20)], CLASSES)[0]


@pytest.fixture
def run(tmp_path, dataset):
    recipe = load_recipe("quickstart", ["evaluation.every=2", f"training.usrn_steps={STEPS}"])
    with start_run(tmp_path / "run", recipe, dataset, stages_of(recipe)) as run:
        yield run


@pytest.fixture
def moments(monkeypatch):
    """`moments.kill_at = n` kills at the n-th moment before or after something is written."""
    state = SimpleNamespace(kill_at=0, passed=0)

    def moment() -> None:
        state.passed += 1
        if state.passed == state.kill_at:
            raise Killed

    def watched(function):
        def call(*arguments):
            moment()
            function(*arguments)
            moment()

        return call

    for module, name in ((validation, "write_json"), (validation, "save_segmenter"), (MetricsLog, "record")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))
    return state


def outcome(run: Run) -> tuple[dict, list, list]:
    """What was best, what was logged, and the weights that were kept."""
    best = json.loads((run.path / "best.json").read_text())
    log = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    bias = load_segmenter(run.model_file("usrn", "best")).get_weights()[-1]
    return best, [(record["step"], record["val_miou"]) for record in log], bias.tolist()


def test_the_best_is_kept_and_the_end_counts(run, dataset):
    branch = Branch()
    branch.train(run, dataset)
    best, log, bias = outcome(run)
    assert [step for step, _ in log] == [2, 4, 5]
    assert log[1][1] > log[2][1] > log[0][1]
    assert best == {"step": 4, "val_miou": pytest.approx(log[1][1]), "saved": True, "measured": 5}
    assert [value > -1e5 for value in bias] == [True, True, True, False]
    assert run.checkpoint_name("usrn", "best") == "best (step 4)"


def test_the_end_may_be_best(run, dataset, monkeypatch):
    monkeypatch.setitem(KNOWN, STEPS, CLASSES)
    Branch().train(run, dataset)
    assert outcome(run)[0]["step"] == STEPS


def test_killed_at_every_moment_ends_where_an_undisturbed_run_ends(run, dataset, moments):
    Branch().train(run, dataset)
    expected, last = outcome(run), moments.passed
    assert last == 20
    for moments.kill_at in range(1, last + 1):
        for name in ("best.json", "best.keras", "metrics.jsonl"):
            (run.path / name).unlink()
        branch, moments.passed = Branch(), 0
        with pytest.raises(Killed):
            branch.train(run, dataset)
        branch.train(run, dataset)
        assert outcome(run) == expected, moments.kill_at


def test_a_training_that_starts_again_forgets_the_best_of_the_former(run, dataset, monkeypatch):
    Branch().train(run, dataset)
    monkeypatch.setitem(KNOWN, 4, 1)  # now it is worse there
    Branch().train(run, dataset)
    assert outcome(run)[0]["step"] == 5
    ValidationCallback(run, USRN, Branch(), dataset).resume(0)
    assert not list(run.path.glob("best.*"))


def test_without_measurements_nothing_is_kept(tmp_path, dataset):
    recipe = load_recipe("quickstart", [f"training.usrn_steps={STEPS}"])
    with start_run(tmp_path / "other", recipe, dataset, stages_of(recipe)) as run:
        Branch().train(run, dataset)
        assert not list(run.path.glob("best.*")) and not (run.path / "metrics.jsonl").exists()


def test_nothing_to_measure_on_is_refused_before_training(run, dataset):
    with pytest.raises(DataError, match="no val images") as error:
        ValidationCallback(run, USRN, Branch(), replace(dataset, val=()))
    assert "evaluation.every = 0 (it is 2)" in error.value.hint
