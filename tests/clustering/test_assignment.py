from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from usrn_keras.clustering import assignment
from usrn_keras.clustering.assignment import assign_rows
from usrn_keras.clustering.prices import FINEST
from usrn_keras.clustering.repair import Repaired
from usrn_keras.clustering.row_sweep import sweep


def problem(rows, clusters, features=5, seed=0):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(rows, features)) * rng.choice([0.3, 1.0, 2.0], size=(rows, 1))
    return data.astype(np.float32), data[:clusters].astype(np.float32)


def assign(data, centers, threads=1, prices=None, sample=None):
    prices = np.zeros(len(centers)) if prices is None else prices
    sample = data if sample is None else sample
    return assign_rows(
        lambda a, b: data[a:b], len(data), centers, prices, FINEST, sample, threads, lambda *_: None
    )


def distances(data, centers):
    return ((data[:, None].astype(np.float64) - centers) ** 2).sum(axis=2)


@pytest.mark.parametrize(("rows", "clusters"), [(12, 3), (200, 8), (600, 20)])
def test_the_labels_are_within_a_thousandth_of_the_optimum(rows, clusters):
    data, centers = problem(rows, clusters)
    assigned = assign(data, centers)
    squares = distances(data, centers)
    places = np.repeat(squares, rows // clusters, axis=1)
    least = places[linear_sum_assignment(places)].sum()
    assert assigned.inertia == pytest.approx(squares[np.arange(rows), assigned.labels].sum(), rel=1e-5)
    assert least * (1 - 1e-5) <= assigned.inertia <= least * 1.001
    assert assigned.inertia - least <= assigned.gap + 1e-4 * least


def limit_entries(monkeypatch, entries_per_row):
    monkeypatch.setattr(assignment, "ENTRIES", 0)
    monkeypatch.setattr(assignment, "ENTRIES_PER_ROW", entries_per_row)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_few_candidates_lead_to_the_labels_of_all(monkeypatch, threads):
    data, centers = problem(20_000, 12)
    whole = assign(data, centers)
    limit_entries(monkeypatch, 2)
    part = assign(data, centers, threads, prices=whole.prices + 0.01)
    assert part.gap <= 1e-4 * part.inertia
    assert (part.labels != whole.labels).sum() <= 2  # rows tied up to the rounding of float32
    assert part.inertia == pytest.approx(whole.inertia, rel=1e-6)


def test_threads_change_nothing(monkeypatch):
    data, centers = problem(30_000, 12)
    limit_entries(monkeypatch, 2)
    one, two = (assign(data, centers, threads, sample=data[::9]) for threads in (1, 2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.prices, two.prices)
    assert (one.inertia, one.gap) == (two.inertia, two.gap)


def test_prices_of_a_sample_are_corrected(monkeypatch):
    """Far more rows than the sample has, and prices that do not even balance that."""
    data, centers = problem(60_000, 12)
    whole = assign(data, centers)
    limit_entries(monkeypatch, 1.2)
    passes = []
    monkeypatch.setattr(assignment, "sweep", lambda *a: passes.append(1) or sweep(*a))
    part = assign(data, centers, sample=data[::60])
    assert len(passes) > 1
    assert np.ptp(np.bincount(part.labels)) <= 1
    assert part.inertia == pytest.approx(whole.inertia, rel=1e-3)


def test_rows_sorted_by_place_are_no_harder(monkeypatch):
    """Rows of a data set lie image by image: all near rows may come together."""
    data, centers = problem(40_000, 12)
    data = data[np.argsort(data[:, 0])]
    limit_entries(monkeypatch, 2)
    sample = data[np.random.default_rng(0).permutation(len(data))[:20_000]]
    assigned = assign(data, centers, sample=sample)
    assert np.ptp(np.bincount(assigned.labels)) <= 1
    assert assigned.gap <= 1e-3 * assigned.inertia


@pytest.mark.parametrize("values", [1, 3, 30])
def test_duplicates_of_which_only_a_part_has_candidates(monkeypatch, values):
    values, centers = problem(30, 7)[0][:values], problem(30, 7)[1]
    data = values[np.random.default_rng(0).integers(0, len(values), 30_000)]
    whole = assign(data, centers)
    limit_entries(monkeypatch, 1)
    part = assign(data, centers)
    assert np.ptp(np.bincount(part.labels)) <= 1
    assert part.inertia <= whole.inertia * 1.001


def test_groups_apart_exchange_rows(monkeypatch):
    """Two groups hold the rows of their clusters and a part of another one's; moves are few and dear."""
    limit_entries(monkeypatch, 2)
    monkeypatch.setattr(assignment, "MOVES", 12)
    rng = np.random.default_rng(0)
    far = np.repeat([-50.0, 0.0, 50.0], [11_000, 20_000, 29_000])[:, None]
    data = (rng.normal(size=(60_000, 3)) + far).astype(np.float32)
    centers = data[[0, 1, 20_000, 20_001, 40_000, 40_001]]
    assigned = assign(data, centers, sample=rng.permutation(data)[:6000])
    np.testing.assert_array_equal(np.bincount(assigned.labels), 10_000)
    whole = assignment_of_all(monkeypatch, data, centers)
    assert assigned.inertia <= whole.inertia * 1.001


def assignment_of_all(monkeypatch, data, centers):
    limit_entries(monkeypatch, len(centers))
    return assign(data, centers)


def test_labels_that_cannot_be_balanced_are_an_error(monkeypatch):
    data, centers = problem(200, 8)
    monkeypatch.setattr(
        assignment, "repair", lambda costs, labels, prices, *_, **__: Repaired(labels, prices, False)
    )
    with pytest.raises(RuntimeError, match="200 rows to 8 clusters"):
        assign(data, centers)


def test_progress_ends_with_all_rows():
    data, centers = problem(10_000, 4)
    seen = []
    assign_rows(
        lambda a, b: data[a:b],
        len(data),
        centers,
        np.zeros(4),
        FINEST,
        data,
        1,
        lambda done, _: seen.append(done),
    )
    assert seen == [4096, 8192, 10_000]
