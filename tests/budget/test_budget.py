from __future__ import annotations

import pytest

from usrn_keras.budget.budget import DataFacts, Extrapolation, MeasuredStep, make_budget
from usrn_keras.budget.step_sizes import StepSizes

FACTS = DataFacts("recipe", {}, 3, "assumed", 7, "assumed")
NETWORK = {
    "device": {"backend": "torch", "gpu": False, "room": 2000},
    "parts": (),
    "flops": {"baseline": {"labelled": 25}, "usrn": {"labelled": 30, "weak": 20, "strong": 50}},
    "stage": "usrn",
}
STEPS = [
    MeasuredStep(StepSizes(2, 2, 64), 1000, 1.0),
    MeasuredStep(StepSizes(4, 4, 64), 1400, 1.5),
]


def budget_of(sizes: StepSizes, found: Extrapolation):
    keys = {"training.baseline_steps": 100, "training.usrn_steps": 200}
    return make_budget(FACTS, NETWORK, found, sizes, steps={"baseline": 100, "usrn": 200}, step_keys=keys)


def test_hours_of_all_stages_by_hand():
    """A step of usrn takes 2.5 s, one of the baseline a quarter of it, as its operations are."""
    found = budget_of(StepSizes(8, 8, 64), Extrapolation(STEPS, room=3000))
    assert found.seconds == {"baseline": 0.625, "usrn": 2.5}
    assert found.hours == pytest.approx((100 * 0.625 + 200 * 2.5) / 3600)
    assert (found.peak, found.fits, found.advice) == (2200, True, ())


def test_the_table_has_batches_around_that_of_the_recipe():
    found = budget_of(StepSizes(8, 8, 64), Extrapolation(STEPS, room=3000))
    rows = [(row.sizes.batch_labelled, row.peak, row.seconds, row.fits) for row in found.table]
    assert rows == [
        (2, 1000, 1.0, True), (4, 1400, 1.5, True), (8, 2200, 2.5, True), (16, 3800, 4.5, False),
        (32, 7000, 8.5, False),
    ]  # fmt: skip
    assert [row.sizes.batch_labelled for row in budget_of(StepSizes(2, 2, 64), Extrapolation([])).table] == [
        2,
        4,
        8,
    ]


def test_advice_is_the_largest_step_that_fits():
    found = budget_of(StepSizes(8, 8, 64), Extrapolation(STEPS, room=2000))
    assert found.fits is False
    assert found.advice == (
        "training.batch_labelled=4", "training.batch_unlabelled=4", "training.accumulation=2",
        "training.baseline_steps=200", "training.usrn_steps=400",
    )  # fmt: skip


def test_nothing_was_measured():
    found = budget_of(StepSizes(2, 2, 64), Extrapolation([], failed=StepSizes(2, 2, 64), room=2000))
    assert (found.fits, found.advice, found.peak, found.hours, found.seconds) == (False, (), None, None, {})
