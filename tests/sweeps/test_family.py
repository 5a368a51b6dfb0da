"""The folder of a family: runs are found by their key, one process at a time."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import tomli_w

from tests.sweeps.made import BASELINE, SUBCLASSES, made_plan
from usrn_keras._version import NUMERICS
from usrn_keras.errors import RunError
from usrn_keras.sweeps.family import Family


def test_a_run_is_found_under_another_name(tmp_path):
    (run,) = made_plan("A", seeds=(0,)).runs
    family = Family(tmp_path)
    assert family.folder(run) == tmp_path / run.name and family.run(run) is None
    (tmp_path / f"renamed-{run.key}").mkdir()
    assert family.folder(run) == tmp_path / f"renamed-{run.key}"
    assert not family.is_done(run) and family.donors(run) == []


def test_the_second_process_learns_which_is_the_first(tmp_path):
    family = Family(tmp_path / "new")
    with (
        family.locked(),
        pytest.raises(RunError, match=f"process {os.getpid()} on .* since 20"),
        family.locked(),
    ):
        pass
    with family.locked():  # free again
        pass


def complete(folder, run, stage=BASELINE, **session):
    """A run folder of which a stage is complete."""
    recipe = run.recipe.model_dump()
    (folder / stage).mkdir(parents=True)
    (folder / "dataset.json").write_text("{}")
    (folder / "recipe.toml").write_text(tomli_w.dumps(recipe))
    (folder / stage / "complete.json").write_text("{}")
    (folder / "environment.json").write_text(json.dumps([{"numerics": NUMERICS, **session}]))


def test_donors_have_the_same_first_stage_complete(tmp_path):
    run, other = made_plan("A", "B", seeds=(0,)).runs
    (another_seed,) = made_plan("A", seeds=(1,)).runs
    family = Family(tmp_path)
    for donor in (run, other, another_seed):
        complete(tmp_path / donor.name, donor)
    assert family.has(run, BASELINE) and not family.has(run, SUBCLASSES)
    assert family.donors(run) == [tmp_path / other.name]


def test_weights_of_donors_are_named_by_an_absolute_path(tmp_path):
    """A run folder keeps the absolute path of the weights, whatever the user typed."""
    run, other = made_plan("A", "B", seeds=(0,)).runs
    network = other.recipe.network.model_copy(update={"weights": "/somewhere/weights.h5"})
    recipe = other.recipe.model_copy(update={"network": network})
    complete(tmp_path / other.name, replace(other, recipe=recipe))
    assert Family(tmp_path).donors(run) == [tmp_path / other.name]


def test_runs_of_other_numerics_are_neither_donors_nor_silent(tmp_path):
    run, other = made_plan("A", "B", seeds=(0,)).runs
    family = Family(tmp_path)
    assert family.notes() == []
    complete(tmp_path / other.name, other, numerics=NUMERICS + 1)
    assert family.donors(run) == []
    (note,) = family.notes()
    assert note.startswith(f"Runs of other numerics than {NUMERICS}") and note.endswith(f": {other.name}.")
