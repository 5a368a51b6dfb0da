from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.clustering.costs import CUT, DenseCosts
from usrn_keras.clustering.lloyd import fill_costs
from usrn_keras.clustering.prices import FINEST, balance_prices
from usrn_keras.clustering.row_sweep import corrected_prices, measure_margins, sweep


def plane(rows, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 2)).astype(np.float32)


CENTERS = np.array([[0.0, 0.0], [1.0, 0.2], [-0.4, 1.0], [-0.8, -0.9], [0.6, -1.1]], np.float32)


def costs_of(rows):
    costs = np.empty((len(rows), len(CENTERS)), np.float32)
    fill_costs(rows, CENTERS, costs)
    return costs


def balanced_on(rows):
    nothing = np.zeros(len(CENTERS), np.int64)
    return balance_prices(DenseCosts(costs_of(rows)), np.zeros(5), nothing, tolerance=1e-4, steps=100).prices


def test_the_uncertainty_of_prices_is_that_over_many_samples():
    rows = 4000
    found = np.array([balanced_on(plane(rows, seed)) for seed in range(60)])
    deviations = (found[:, :, None] - found[:, None]).std(axis=0)
    margins = measure_margins(
        plane(rows), CENTERS, found.mean(axis=0), FINEST, noise=len(CENTERS) / rows, entries=len(CENTERS)
    )
    ratio = margins.reach / np.where(deviations > 0, deviations, np.inf)
    apart = ~np.eye(5, dtype=bool)
    # Five standard deviations, each known to a tenth from sixty samples, the curvature of a smoothed dual.
    assert (ratio[apart] > 3.5).all() and (ratio[apart] < 8.0).all()


@pytest.mark.parametrize("entries", [0.2, 1.0, 3.0])
def test_candidates_fit_into_the_room(entries):
    rows = plane(20_000)
    margins = measure_margins(rows, CENTERS, balanced_on(rows), FINEST, noise=1.0, entries=entries)
    found = swept(rows, balanced_on(rows), margins)
    assert len(found.costs.ids) <= 1.1 * entries * len(rows)


def test_of_tied_rows_as_many_are_kept_as_fit():
    rows = np.zeros((10_000, 2), np.float32)
    prices = -costs_of(rows[:1])[0].astype(np.float64)  # all clusters cost the same
    margins = measure_margins(rows, CENTERS, prices, FINEST, noise=0.01, entries=0.5)
    assert margins.keep == pytest.approx(0.1)
    found = swept(rows, prices, margins)
    assert len(found.costs.ids) == pytest.approx(0.5 * len(rows), rel=0.01)
    np.testing.assert_allclose(found.sizes(), 2000, atol=5)  # drawn evenly


def swept(rows, prices, margins, threads=1):
    return sweep(lambda a, b: rows[a:b], len(rows), CENTERS, prices, margins, threads, lambda *_: None)


def test_a_sweep_forgets_nothing():
    """Each row is labelled, each candidate has its cost, and the slack is the least of what was left out."""
    rows = plane(9000)
    prices = balanced_on(rows).astype(np.float32).astype(np.float64)
    margins = measure_margins(rows, CENTERS, prices, FINEST, noise=0.01, entries=1.0)
    found = swept(rows, prices, margins, threads=2)
    costs = costs_of(rows)
    priced = costs + prices.astype(np.float32)
    np.testing.assert_array_equal(found.labels, priced.argmin(axis=1))
    kept = np.zeros(priced.shape, bool)
    for place, row in enumerate(found.near):
        part = slice(found.costs.starts[place], found.costs.starts[place + 1])
        kept[row, found.costs.ids[part]] = True
        np.testing.assert_array_equal(found.costs.costs[part], costs[row, kept[row]])
    assert kept[found.near, found.labels[found.near]].all()
    regrets = np.where(kept, np.inf, priced - priced.min(axis=1, keepdims=True))
    for j in range(5):
        least = regrets[found.labels == j].min(axis=0)
        np.testing.assert_allclose(found.slack[j], least, atol=1e-6)
        assert (least[np.arange(5) != j] > margins.reach[j, np.arange(5) != j]).all()


def test_a_lead_of_some_eps_is_a_tie():
    rows, eps = plane(9000), 0.05
    prices = balanced_on(rows)
    margins = measure_margins(rows, CENTERS, prices, eps, noise=0.01, entries=0.5)
    found = swept(rows, prices, margins)
    priced = costs_of(rows) + prices.astype(np.float32)
    regret = priced[np.arange(len(rows)), found.labels] - priced.min(axis=1)
    assert 0 < regret.max() <= CUT * eps + 1e-5


def test_prices_are_corrected_by_the_sizes_of_all_rows():
    """A small sample balances itself; the sizes of all rows say what it has got wrong."""
    rows, sample = plane(200_000), plane(2000, seed=5)
    costs, prices = DenseCosts(costs_of(rows)), balanced_on(sample)
    labels = np.empty(len(rows), np.int32)
    before = costs.measure(prices, FINEST, labels, 1).sizes
    better = corrected_prices(sample, CENTERS, prices, FINEST, before, threads=1)
    after = costs.measure(better.prices, FINEST, labels, 1).sizes
    imbalance = [np.abs(sizes / 40_000 - 1.0).max() for sizes in (before, after)]
    assert imbalance[1] < 0.5 * imbalance[0]
