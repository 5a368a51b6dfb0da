"""How long a table takes, from the steps that are done and from measured ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.sweeps.made import made_plan
from usrn_keras.sweeps import estimate as module
from usrn_keras.sweeps.estimate import estimate
from usrn_keras.sweeps.family import Family

BASELINE, USRN = "1-baseline", "3-usrn"
STEPS = ("training.baseline_steps=10", "training.usrn_steps=20")


@pytest.fixture
def seconds(tmp_path, monkeypatch):
    """Of two rows of one seed; a dry run measures 0.5 s and 1.5 s a step."""
    plan = made_plan("A", "B", seeds=(0,), overrides=STEPS)

    def told(measured, *, fits=True, jobs=1) -> float:
        budget = SimpleNamespace(seconds={"Baseline": 0.5, "USRN": 1.5} if fits else {})
        monkeypatch.setattr(module, "dry_run", lambda recipe, folder: budget)
        monkeypatch.setattr(module, "_median_step", lambda runs, family, stage: measured.get(stage, 0.0))
        return estimate(plan, Family(tmp_path), jobs)

    return told


def test_measured_steps(seconds):
    assert seconds({BASELINE: 1.0, USRN: 5.0}) == 10 * 1 + 2 * 20 * 5  # one Baseline serves both rows
    assert seconds({BASELINE: 1.0, USRN: 5.0}, jobs=2) == 5 + 100


def test_a_stage_that_was_never_trained_is_slower_as_in_a_dry_run(seconds):
    assert seconds({BASELINE: 1.0}) == pytest.approx(10 * 1 + 2 * 20 * 3)
    assert seconds({USRN: 6.0}, jobs=2) == pytest.approx((10 * 2 + 2 * 20 * 6) / 2)


def test_nothing_was_trained(seconds):
    assert seconds({}, jobs=2) == pytest.approx(10 * 0.5 + 2 * 20 * 1.5)
    assert seconds({}, fits=False) == 0.0


def test_a_stage_that_is_done_takes_no_time(seconds, tmp_path):
    first, _ = made_plan("A", "B", seeds=(0,), overrides=STEPS).runs
    (tmp_path / first.name / BASELINE).mkdir(parents=True)
    (tmp_path / first.name / BASELINE / "complete.json").write_text("{}")
    assert seconds({BASELINE: 1.0, USRN: 5.0}) == 2 * 20 * 5  # the Baseline of B, too, which is the same
