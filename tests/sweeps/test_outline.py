"""How long a table takes, from the steps that are done and from steps measured now."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.sweeps.made import BASELINE, USRN, made_plan
from usrn_keras.errors import OutOfMemoryError
from usrn_keras.sweeps import outline as module
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.outline import estimate, make_outline

STEPS = ("training.baseline_steps=10", "training.usrn_steps=20")


@pytest.fixture
def seconds(tmp_path, monkeypatch):
    """Of two rows of one seed; `tried` has the seconds of the steps that a dry run measures."""
    plan = made_plan("A", "B", seeds=(0,), overrides=STEPS)

    def estimated(done, tried=None, jobs=1, measure=True) -> float:
        def dry_run(recipe, folder):
            if tried is None:
                raise OutOfMemoryError("memory ran out")
            return SimpleNamespace(seconds=tried)

        monkeypatch.setattr(module, "dry_run", dry_run)
        monkeypatch.setattr(module, "_median_step", lambda runs, family, stage: done.get(stage, 0.0))
        return estimate(plan, Family(tmp_path), jobs, measure=measure)

    return estimated


def test_steps_that_are_done(seconds):
    assert seconds({BASELINE: 1.0, USRN: 5.0}) == 10 * 1 + 2 * 20 * 5  # one Baseline serves both rows
    assert seconds({BASELINE: 1.0, USRN: 5.0}, jobs=2) == 5 + 100


def test_steps_that_are_measured_now(seconds):
    tried = {"first": 2.0, "second": 3.0}
    assert seconds({}, tried) == seconds({}, tried, jobs=2) == 10 * 2 + 2 * 20 * 3
    assert seconds({BASELINE: 1.0}, tried) == 10 * 1 + 2 * 20 * 3  # those that are done are more certain


def test_a_step_that_cannot_be_measured(seconds):
    assert seconds({BASELINE: 1.0}, tried={"first": 2.0, "second": 3.0}, measure=False) == 0.0
    assert seconds({}, tried={}) == seconds({BASELINE: 1.0}, tried={}) == 0.0
    with pytest.raises(OutOfMemoryError):
        seconds({BASELINE: 1.0})


def test_an_outline_says_why_the_time_is_unknown(tmp_path, monkeypatch):
    def no_memory(plan, family, jobs, measure):
        raise OutOfMemoryError("memory ran out", hint="Buy some.")

    monkeypatch.setattr(module, "check_data", lambda plan, family, log: plan)
    monkeypatch.setattr(module, "estimate", no_memory)
    outline = make_outline(made_plan("A", seeds=(0,)), tmp_path)
    assert (outline.seconds, outline.duration) == (0.0, "the time is unknown: memory ran out")


def test_a_stage_that_is_done_takes_no_time(seconds, tmp_path):
    first, _ = made_plan("A", "B", seeds=(0,), overrides=STEPS).runs
    (tmp_path / first.name / BASELINE).mkdir(parents=True)
    (tmp_path / first.name / BASELINE / "complete.json").write_text("{}")
    assert seconds({BASELINE: 1.0, USRN: 5.0}) == 2 * 20 * 5  # the Baseline of B, too, which is the same
