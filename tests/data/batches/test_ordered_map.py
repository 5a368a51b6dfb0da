from __future__ import annotations

import threading
import time

import pytest

from usrn_keras.data.batches.prefetch import ByteBudget, ordered_map


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("ahead", [1, 4])
def test_results_come_in_order(workers, ahead):
    def late_at_first(number):
        time.sleep(0.01 if number == 0 else 0)
        return -number

    assert list(ordered_map(late_at_first, range(7), workers=workers, ahead=ahead)) == [
        0,
        -1,
        -2,
        -3,
        -4,
        -5,
        -6,
    ]
    assert list(ordered_map(abs, [], workers=workers, ahead=ahead)) == []


def test_an_error_is_raised_at_its_place():
    results = ordered_map(lambda number: 1 // number, [1, 0, 1], workers=2, ahead=3)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize(("limit", "most"), [(1, 1), (25, 2), (10**6, 6)])
def test_two_stages_share_a_budget(limit, most):
    """Items of ten bytes are in flight from the first stage until the second one gives them back."""
    budget, lock, in_flight, seen = ByteBudget(limit), threading.Lock(), set(), []

    def first(number):
        with lock:
            in_flight.add(number)
            seen.append(len(in_flight))
        return number

    def second(number):
        time.sleep(0.005)
        with lock:
            in_flight.discard(number)
        budget.give_back(10)
        return number

    started = ordered_map(first, range(20), workers=2, ahead=2, budget=budget, cost=lambda number: 10)
    assert list(ordered_map(second, started, workers=2, ahead=3)) == list(range(20))
    assert max(seen) <= most and (most > 1 or max(seen) == 1)
    assert budget.take(limit + 1, wait=False)  # everything was given back


def test_what_does_not_fit_is_not_taken():
    budget = ByteBudget(100)
    assert budget.take(60, wait=False) and not budget.take(60, wait=False) and budget.take(40, wait=False)
    budget.give_back(100)
    assert budget.take(500, wait=False) and not budget.take(1, wait=False)  # a larger item is alone
