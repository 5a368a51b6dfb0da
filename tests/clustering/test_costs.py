"""The two forms of costs say the same, and what plain numpy says."""

from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.clustering.costs import Candidates, DenseCosts
from usrn_keras.clustering.prices import balance_prices


def table(rows=5000, clusters=7, digits=8):
    return np.random.default_rng(0).normal(size=(rows, clusters)).round(digits).astype(np.float32)


def both(costs):
    return DenseCosts(costs), Candidates.from_dense(costs)


@pytest.mark.parametrize("eps", [0.02, 0.5])
def test_balance_is_that_of_the_softmax(eps):
    costs, prices = table(), np.linspace(-0.5, 0.5, 7)
    priced = (costs + prices.astype(np.float32)).astype(np.float64)
    shares = np.exp((priced.min(axis=1, keepdims=True) - priced) / eps)
    shares /= shares.sum(axis=1, keepdims=True)
    for form in both(costs):
        labels = np.empty(len(costs), np.int32)
        found = form.measure(prices, eps, labels, threads=1)
        np.testing.assert_array_equal(labels, priced.argmin(axis=1))
        np.testing.assert_array_equal(found.sizes, np.bincount(labels, minlength=7))
        np.testing.assert_allclose(found.mass, shares.sum(axis=0), rtol=1e-4)
        np.testing.assert_allclose(found.overlap, np.tril(shares.T @ shares), rtol=1e-3, atol=0.01)
        assert found.value == pytest.approx(priced.min(axis=1).sum(), abs=1e-2)


def test_threads_change_nothing():
    costs, prices = table(20_000), np.linspace(-0.5, 0.5, 7)
    for form in both(costs):
        labels = np.empty(len(costs), np.int32)
        one, two = (form.measure(prices, 0.1, labels, threads) for threads in (1, 2))
        np.testing.assert_array_equal(one.mass, two.mass)
        np.testing.assert_array_equal(one.overlap, two.overlap)


def test_tied_rows_are_drawn_in_proportion():
    costs = np.zeros((10_000, 4), np.float32)
    prices = np.array([0.0, 0.0, 0.0, np.log(3.0)])  # the last cluster gets a third of what the others get
    for form in both(costs):
        shares = np.bincount(form.draw(prices, 1.0, threads=1), minlength=4) / len(costs)
        np.testing.assert_allclose(shares, [0.3, 0.3, 0.3, 0.1], atol=1e-3)


def test_rows_without_a_candidate_in_common():
    """Two pairs of clusters that share no row are balanced each for itself."""
    costs = Candidates(
        np.arange(0, 401, 2), np.tile([0, 1, 2, 3], 100).astype(np.int32),
        np.random.default_rng(0).normal(size=400).astype(np.float32), clusters=4,
    )  # fmt: skip
    balanced = balance_prices(costs, np.zeros(4), np.zeros(4, np.int64), tolerance=0.01, steps=50)
    np.testing.assert_allclose(np.bincount(balanced.labels, minlength=4), 50, atol=1)


def test_typical_gap():
    costs = np.tile(np.array([0.0, 2.0, 9.0], np.float32), (100, 1))
    for form in both(costs):
        assert form.typical_gap(np.zeros(3)) == pytest.approx(2.0)
        assert form.typical_gap(np.array([0.0, -1.5, 0.0])) == pytest.approx(0.5)


def test_cost_of_labels():
    costs = table(50)
    labels = np.arange(50) % 7
    np.testing.assert_array_equal(Candidates.from_dense(costs).cost_of(labels), costs[np.arange(50), labels])
