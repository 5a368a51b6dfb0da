"""A real step in a process of its own against what was predicted of it."""

from __future__ import annotations

import csv

import pytest

from benchmarks.memory import RESULTS, Case, measured_apart
from benchmarks.memory_fit import predicted
from usrn_keras.budget.calibration import CPU


def test_a_step_on_torch():
    found = measured_apart("torch", Case("USRN", "keras/mobilenet", 2, 128, 11, 44))
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.2)
    # and what the step itself adds, the process being most of a small one
    assert found["predicted"] - found["process"] == pytest.approx(
        found["measured"] - found["process"], rel=0.35
    )


def rows() -> list[dict[str, str]]:
    with open(RESULTS, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("backend", CPU)
def test_the_numbers_are_those_of_the_measurements(backend):
    """20 % on every backend and network: the promise of `usrn fit --dry-run`."""
    of_backend = [row for row in rows() if row["backend"] == backend]
    assert {row["backbone"] for row in of_backend} == {"keras/mobilenet", "keras/resnet50"}
    assert {row["subclasses"] for row in of_backend} >= {"44", "177"}
    for row in of_backend:
        assert predicted(row, CPU[backend]) / 1e6 == pytest.approx(float(row["measured_mb"]), rel=0.2)
        assert predicted(row, CPU[backend]) / 1e6 == pytest.approx(float(row["predicted_mb"]), rel=0.02)
