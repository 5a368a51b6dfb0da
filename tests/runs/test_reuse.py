"""Stages of another run: taken over where they are equal, and only then."""

from __future__ import annotations

import json

import pytest

from tests.runs.test_run import dataset, recipe
from tests.tools import started
from usrn_keras._version import NUMERICS
from usrn_keras.methods import stages_of
from usrn_keras.runs import reuse_stages, why_not_reused
from usrn_keras.runs.environment import recorded_numerics
from usrn_keras.runs.reuse import stage_key

BASELINE, SUBCLASSES = "1-baseline", "2-subclasses"


@pytest.fixture
def donor(tmp_path):
    with started(tmp_path / "donor", recipe(), dataset()) as run:
        run.log(BASELINE).record({"step": 20, "loss": 0.5})
        run.log(SUBCLASSES).record({"step": 1, "loss": 9.0})
        for stage in (BASELINE, SUBCLASSES):
            (run.stage(stage) / "inner").mkdir(parents=True)
            (run.stage(stage) / "inner/weights").write_text(stage)
            run.complete(stage, steps=20)
    return run


def reused(tmp_path, donor, *overrides, names=(), begun=False) -> list[str]:
    with started(tmp_path / "run", recipe(*overrides), dataset(*names)) as run:
        if begun:
            run.stage(BASELINE).mkdir()
        return list(reuse_stages(run, donor))


def test_equal_stages_are_taken_over_with_their_records(tmp_path, donor):
    assert reused(tmp_path, donor, "usrn.gate=stop", "training.usrn_steps=7") == [BASELINE, SUBCLASSES]
    run, file = tmp_path / "run", f"{BASELINE}/inner/weights"
    assert (run / file).read_text() == BASELINE
    assert json.loads((run / SUBCLASSES / "complete.json").read_text())["steps"] == 20
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert records == [
        {"stage": BASELINE, "step": 20, "loss": 0.5}, {"stage": SUBCLASSES, "step": 1, "loss": 9.0},
    ]  # fmt: skip
    assert (run / BASELINE / "inner/weights").stat().st_ino == (
        donor.path / BASELINE / "inner/weights"
    ).stat().st_ino


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("subclasses.assignment=free", [BASELINE]),
        ("training.method=supervised", [BASELINE]),
        ("training.learning_rate=0.5", []),
        ("training.seed=5", []),
        ("network.dropout=0.2", []),
        ("evaluation.every=3", []),  # keeps other best weights
        ("evaluation.split=test", [BASELINE, SUBCLASSES]),
    ],
)
def test_what_differs_is_computed_again(tmp_path, donor, override, stages):
    assert reused(tmp_path, donor, override) == stages


def test_other_lists_other_stages(tmp_path, donor):
    assert reused(tmp_path, donor, names=("a", "b")) == []


def test_what_has_begun_is_left_alone(tmp_path, donor):
    assert reused(tmp_path, donor, begun=True) == []


def test_what_is_not_complete_is_not_taken(tmp_path, donor):
    (donor.stage(BASELINE) / "complete.json").unlink()
    assert reused(tmp_path, donor) == []


@pytest.mark.parametrize("other", [{"backend": "another"}, {"numerics": 0}])
def test_another_backend_or_numerics_is_another_stage(tmp_path, donor, other):
    file = donor.path / "environment.json"
    sessions = json.loads(file.read_text())
    file.write_text(json.dumps([{**sessions[0], **other}]))
    assert reused(tmp_path, donor) == []


def test_runs_that_recorded_no_numerics_count_as_zero(tmp_path, donor):
    file = donor.path / "environment.json"
    (session,) = json.loads(file.read_text())
    assert recorded_numerics(donor.path) == str(session.pop("numerics")) == str(NUMERICS)
    file.write_text(json.dumps([session]))
    assert recorded_numerics(donor.path) == "0" and reused(tmp_path, donor) == []


def test_what_is_not_taken_over_says_why(tmp_path, donor):
    with started(tmp_path / "run", recipe("training.seed=5", "network.dropout=0.2"), dataset()) as run:
        assert list(reuse_stages(run, donor)) == []
        assert why_not_reused(run, [donor]) == (
            f"{BASELINE}: not reused from {donor.path}, which has "
            "network.dropout = 0.0 instead of 0.2, training.seed = 0 instead of 5"
        )
        assert why_not_reused(run, []) == ""
        assert (
            why_not_reused(run, [run])
            == f"{BASELINE}: not reused, because it is not complete in any of the given runs"
        )
        run.stage(BASELINE).mkdir()
        assert (
            why_not_reused(run, [donor])
            == f"{BASELINE}: not reused, because it was already started in this run"
        )
    with started(tmp_path / "equal", recipe(), dataset()) as run:
        assert list(reuse_stages(run, donor)) == [BASELINE, SUBCLASSES] and why_not_reused(run, [donor]) == ""


def test_pseudo_masks_depend_on_how_they_were_predicted():
    """Their stages and those trained on them do, the Baseline before them does not."""
    keys = []
    for overrides in ([], ["evaluation.flip=true"], ["evaluation.split=test"]):
        chosen = recipe("training.method=dars", *overrides)
        stages = stages_of(chosen)
        keys.append([stage_key(chosen, stage, data="", backend="torch") for stage in stages])
    same = [one == other for one, other in zip(keys[0], keys[1], strict=True)]
    assert same == [True, False, False, False, False] and keys[0] == keys[2]
    usrn = [recipe(*overrides) for overrides in ([], ["evaluation.flip=true"])]
    assert stage_key(usrn[0], stages_of(usrn[0])[-1], data="", backend="torch") == stage_key(
        usrn[1], stages_of(usrn[1])[-1], data="", backend="torch"
    )
