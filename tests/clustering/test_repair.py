from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from usrn_keras.clustering.costs import Candidates
from usrn_keras.clustering.repair import repair


def repaired_from(costs, labels, prices, fixed, reach=np.inf):
    clusters = len(prices)
    return repair(
        Candidates.from_dense(costs), labels, prices, fixed, np.full(clusters, reach), most_tied=clusters
    )


def cheapest_balanced(costs):
    """Least cost of sizes floor(n/K) or ceil(n/K): the Hungarian algorithm on places in clusters."""
    rows, clusters = costs.shape
    least, extras = divmod(rows, clusters)
    places = np.concatenate([np.repeat(costs, least, axis=1), costs], axis=1)
    # Dummy rows take the extra places that stay empty, and may take no other.
    idle = np.full((clusters - extras, places.shape[1]), 1e6)
    idle[:, rows - extras :] = 0.0
    square = np.concatenate([places, idle]).astype(np.float64)
    chosen = linear_sum_assignment(square)
    return square[chosen].sum()


@st.composite
def cost_tables(draw):
    """Costs without ties, with some, and with little else."""
    rows = draw(st.integers(1, 40))
    clusters = draw(st.integers(1, min(rows, 8)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    costs = rng.normal(size=(rows, clusters))
    digits = draw(st.sampled_from([8, 1, 0]))
    repeated = rng.integers(0, draw(st.sampled_from([rows, max(1, rows // 6)])), rows)
    prices = rng.normal(size=clusters) * draw(st.sampled_from([0.0, 1.0]))
    return np.round(costs, digits)[repeated].astype(np.float32), prices


def start(costs, prices):
    return np.argmin(costs + prices, axis=1).astype(np.int32)


@settings(max_examples=150, deadline=None)
@given(cost_tables())
def test_the_labels_are_an_optimum_of_exact_sizes(problem):
    costs, prices = problem
    rows, clusters = costs.shape
    repaired = repaired_from(costs, start(costs, prices), prices, np.zeros(clusters, np.int64))
    sizes = np.bincount(repaired.labels, minlength=clusters)
    assert repaired.feasible
    assert set(sizes) <= {rows // clusters, -(-rows // clusters)}
    chosen = costs[np.arange(rows), repaired.labels].sum(dtype=np.float64)
    assert chosen == pytest.approx(cheapest_balanced(costs), abs=1e-4)
    priced = costs + repaired.prices
    np.testing.assert_allclose(priced[np.arange(rows), repaired.labels], priced.min(axis=1), atol=1e-4)


def test_rows_that_may_not_move_count():
    costs = np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 3.0]], np.float32)
    labels, prices, fixed = np.zeros(3, np.int32), np.zeros(2), np.array([1, 0])
    repaired = repaired_from(costs, labels, prices, fixed)
    np.testing.assert_array_equal(repaired.labels, [1, 1, 0])


def test_the_extra_row_changes_its_cluster_where_that_is_cheapest():
    # The dearer cluster is offered the extra row first, but no row wants to go there.
    costs = np.array([[0.0, 9.0], [0.0, 9.0], [9.0, 0.0]], np.float32)
    labels, prices, nothing = np.array([0, 0, 1], np.int32), np.array([0.0, 1.0]), np.zeros(2, np.int64)
    repaired = repaired_from(costs, labels, prices, nothing)
    np.testing.assert_array_equal(repaired.labels, labels)


def test_a_cluster_that_cannot_be_filled_is_reported():
    costs = np.array([[0.0, 9.0], [0.0, 9.0]], np.float32)
    labels, prices, fixed = np.zeros(2, np.int32), np.zeros(2), np.array([8, 0])
    repaired = repaired_from(costs, labels, prices, fixed)
    assert not repaired.feasible
    short = repaired_from(costs, labels, prices, np.zeros(2, np.int64), reach=1.0)
    assert not short.feasible


def test_a_short_reach_that_suffices_gives_the_same_labels():
    rng = np.random.default_rng(0)
    costs = rng.normal(size=(4000, 10)).astype(np.float32)
    prices, nothing = np.zeros(10), np.zeros(10, np.int64)
    everything = repaired_from(costs, start(costs, prices), prices, nothing)
    near = repaired_from(costs, start(costs, prices), prices, nothing, reach=0.3)
    assert near.feasible and np.ptp(near.prices) < 0.3
    np.testing.assert_array_equal(near.labels, everything.labels)
