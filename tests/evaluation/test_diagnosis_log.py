from __future__ import annotations

import os

import pytest

from usrn_keras.evaluation.diagnosis_log import DiagnosisLog


@pytest.fixture
def log(tmp_path) -> DiagnosisLog:
    made = DiagnosisLog(tmp_path / "3-usrn" / "diagnosis.jsonl")
    for step in (0, 5, 10):
        made.append({"step": step, "images": 2})
    return made


def test_records_come_back_in_order(log):
    assert [record["step"] for record in log.records()] == [0, 5, 10]
    assert log.holds(5) and not log.holds(6)


def test_no_file_holds_nothing(tmp_path):
    log = DiagnosisLog(tmp_path / "none.jsonl")
    log.rewind(3)
    assert log.records() == [] and not log.holds(0) and not log.path.exists()


@pytest.mark.parametrize(("step", "left"), [(-1, []), (0, [0]), (7, [0, 5]), (10, [0, 5, 10])])
def test_rewind_drops_what_came_later(log, step, left):
    log.rewind(step)
    assert [record["step"] for record in log.records()] == left


def test_a_line_cut_short_is_dropped(log):
    os.truncate(log.path, log.path.stat().st_size - 4)
    assert [record["step"] for record in log.records()] == [0, 5]
    log.rewind(10)
    log.append({"step": 10, "images": 2})
    assert log.path.read_text().count("\n") == 3
    assert [record["step"] for record in log.records()] == [0, 5, 10]
