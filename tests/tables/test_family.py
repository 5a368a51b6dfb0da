"""The folder of a family: runs are found by their key, one process at a time."""

from __future__ import annotations

import os

import pytest

from tests.tables.made import made_plan
from usrn_keras.errors import RunError
from usrn_keras.tables.family import Family


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
