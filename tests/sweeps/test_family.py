"""The folder of a family: runs are found by their key, one process at a time."""

from __future__ import annotations

import io
import os

import pytest

from tests.sweeps.made import made_plan
from usrn_keras.errors import RunError
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.run import RunProcess


def test_a_run_is_found_under_another_name(tmp_path):
    (run,) = made_plan("A", seeds=(0,)).runs
    family = Family(tmp_path)
    assert family.folder(run) == tmp_path / run.name and family.run(run) is None
    (tmp_path / f"renamed-{run.key}").mkdir()
    assert family.folder(run) == tmp_path / f"renamed-{run.key}"
    assert not family.is_done(run) and family.donors() == []


def test_the_second_process_is_told_who_is_first(tmp_path):
    family = Family(tmp_path / "new")
    with (
        family.locked(),
        pytest.raises(RunError, match=f"process {os.getpid()} on .* since 20"),
        family.locked(),
    ):
        pass
    with family.locked():  # free again
        pass


def test_each_run_has_a_log_of_its_own(tmp_path, monkeypatch):
    """Rows of the threshold table have dots in their names."""

    class Process:
        stdin = io.StringIO()

    monkeypatch.setattr("subprocess.Popen", lambda *args, **options: Process())
    for run in made_plan("0.55", "0.65", seeds=(0,)).runs:
        RunProcess(run, tmp_path / run.name, [], {})._errors.close()
    assert sorted(path.name[:4] for path in tmp_path.glob("*.log")) == ["0.55", "0.65"]
