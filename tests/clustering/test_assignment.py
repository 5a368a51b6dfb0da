from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from usrn_keras.clustering import assignment
from usrn_keras.clustering.assignment import assign_rows


def problem(rows, clusters, features=5, seed=0):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(rows, features)) * rng.choice([0.3, 1.0, 2.0], size=(rows, 1))
    return data.astype(np.float32), data[:clusters].astype(np.float32)


def assign(data, centers, threads=1):
    prices = np.zeros(len(centers))
    return assign_rows(lambda a, b: data[a:b], len(data), centers, prices, data, threads, lambda *_: None)


def distances(data, centers):
    return ((data[:, None].astype(np.float64) - centers) ** 2).sum(axis=2)


@pytest.mark.parametrize(("rows", "clusters"), [(12, 3), (200, 8), (600, 20)])
def test_the_labels_are_within_a_thousandth_of_the_optimum(rows, clusters):
    data, centers = problem(rows, clusters)
    assigned = assign(data, centers)
    squares = distances(data, centers)
    places = np.repeat(squares, rows // clusters, axis=1)
    least = places[linear_sum_assignment(places)].sum()
    assert assigned.exact
    assert assigned.inertia == pytest.approx(squares[np.arange(rows), assigned.labels].sum(), rel=1e-5)
    assert least * (1 - 1e-5) <= assigned.inertia <= least * 1.001


@pytest.mark.parametrize("threads", [1, 2])
def test_a_few_near_rows_lead_to_the_labels_of_all(monkeypatch, threads):
    data, centers = problem(20_000, 12)
    whole = assign(data, centers)
    monkeypatch.setattr(assignment, "NEAR_COSTS", 12 * 6_000)
    monkeypatch.setattr(assignment, "NEAR_COSTS_PER_ROW", 0)
    part = assign_rows(
        lambda a, b: data[a:b], len(data), centers, whole.prices + 0.01, data, threads, lambda *_: None
    )
    assert part.exact
    assert (part.labels != whole.labels).sum() <= 2  # rows tied up to the rounding of float32
    assert part.inertia == pytest.approx(whole.inertia, rel=1e-6)


def test_poor_prices_need_a_second_pass(monkeypatch):
    data, centers = problem(20_000, 12)
    whole = assign(data, centers)
    monkeypatch.setattr(assignment, "NEAR_COSTS", 12 * 4_000)
    monkeypatch.setattr(assignment, "NEAR_COSTS_PER_ROW", 0)
    part = assign(data, centers)
    assert np.ptp(np.bincount(part.labels)) <= 1
    assert part.inertia == pytest.approx(whole.inertia, rel=1e-3)


def test_duplicates_of_which_only_a_part_is_near(monkeypatch):
    values, centers = problem(30, 7)
    data = values[np.random.default_rng(0).integers(0, 30, 30_000)]
    whole = assign(data, centers)
    monkeypatch.setattr(assignment, "NEAR_COSTS", 7 * 3_000)
    monkeypatch.setattr(assignment, "NEAR_COSTS_PER_ROW", 0)
    part = assign(data, centers)
    assert np.ptp(np.bincount(part.labels)) <= 1
    assert part.inertia <= whole.inertia * 1.01


def test_groups_apart_exchange_rows_where_few_moves_are_looked_at(monkeypatch):
    monkeypatch.setattr(assignment, "MOVES", 0)
    monkeypatch.setattr(assignment, "FEW_MOVES", 2)
    rng = np.random.default_rng(0)
    far = np.repeat([-50.0, 0.0, 50.0], [1100, 2000, 2900])[:, None]
    data = (rng.normal(size=(6000, 3)) + far).astype(np.float32)
    centers = data[[0, 1, 2000, 2001, 4000, 4001]]
    assigned = assign(data, centers)
    np.testing.assert_array_equal(np.bincount(assigned.labels), 1000)
    assert assigned.exact


def test_progress_ends_with_all_rows():
    data, centers = problem(10_000, 4)
    seen = []
    assign_rows(
        lambda a, b: data[a:b], len(data), centers, np.zeros(4), data, 1, lambda done, _: seen.append(done)
    )
    assert seen == [4096, 8192, 10_000]
