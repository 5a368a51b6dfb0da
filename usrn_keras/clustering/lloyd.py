"""Balanced k-means on a sample in memory, in stages over growing prefixes of it, from k-means++ centers.

A step assigns the rows under balancing prices and moves every center to the mean of its rows. Far from the
solution a few thousand rows are as good as all of them, so each stage starts from the result of a smaller
stage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from sklearn.cluster import kmeans_plusplus

from usrn_keras.clustering.compiled import compiled
from usrn_keras.clustering.costs import Candidates, DenseCosts
from usrn_keras.clustering.prices import FINEST, BalancedPrices, balance_prices
from usrn_keras.clustering.repair import repair
from usrn_keras.clustering.rows import run_blocks, sum_blocks

ROWS_PER_CLUSTER = 50  # rows for k-means++, which takes K passes over them and is no better with more


def start_centers(
    init: str | np.ndarray, sample: np.ndarray, clusters: int, rng: np.random.RandomState
) -> np.ndarray:
    """Choose initial centers, `(clusters, features)` float32.

    Args:
        init: `"k-means++"`, `"random"` (distinct rows) or an array of centers, in the frame of the sample.
        sample: Sample `(n, features)` float32 in random order, at least `clusters` rows.
        clusters: Number of clusters.
        rng: Random generator.
    """
    if isinstance(init, np.ndarray):
        return init.astype(np.float32)
    if init == "random":
        return sample[rng.permutation(len(sample))[:clusters]]
    # scikit-learn would convert the rows to float64 block by block.
    rows = sample[: ROWS_PER_CLUSTER * clusters].astype(np.float64)
    centers, _ = kmeans_plusplus(rows, clusters, random_state=rng)
    return centers.astype(np.float32)


FIRST_STAGE = 64  # rows per cluster in the first stage
GROWTH = 4
TRIAL = 4  # steps of each start before the best one is selected
ROUGH = 10.0  # factor on `tol` for all stages except the last
EXACT = 2**16  # number of costs up to which every step balances exactly and never increases the inertia
IMBALANCE = 0.01  # accepted imbalance of a step of a larger problem
LAST_IMBALANCE = 0.002  # accepted imbalance of the final prices
BLUNT = 1 / 4  # share of the first smoothing at which a step draws tied rows
PASSES = 20  # largest number of passes over the costs per step; after the first step two or three suffice
ROUNDING = 1e-6  # least gain, in the unit of the frame: above the rounding error of float32
PATIENCE = 2  # steps without a gain before a stage ends, because the value of a step is noisy


@dataclass(frozen=True, eq=False)
class Solution:
    """Centers, prices and their quality."""

    centers: np.ndarray  # (K, features) float32
    prices: np.ndarray  # (K,) float64
    eps: float  # smoothing that balances tied rows; `prices.FINEST` if none is needed
    value: float  # inertia per row, from the dual
    steps: int  # number of Lloyd steps so far


Report = Callable[[Solution], None]


@compiled(nogil=True)
def add_rows(rows, labels, sums):  # pragma: no cover - compiled
    """Add every row to the sum of its cluster."""
    for i in range(rows.shape[0]):
        j = labels[i]
        for f in range(rows.shape[1]):
            sums[j, f] += rows[i, f]


def fill_costs(rows: np.ndarray, centers: np.ndarray, costs: np.ndarray, threads: int = 1) -> None:
    """Write `|c|^2 - 2 x.c`, the squared distance minus `|x|^2`, to `costs` `(n, K)` float32."""
    directions = (-2.0 * centers).T
    squares = np.einsum("kf,kf->k", centers, centers)

    def fill(start: int, stop: int) -> None:
        block = costs[start:stop]
        np.matmul(rows[start:stop], directions, out=block)
        block += squares

    run_blocks(fill, len(rows), threads)


def means(rows: np.ndarray, labels: np.ndarray, centers: np.ndarray, threads: int) -> np.ndarray:
    """Compute the mean of the rows of every cluster; an empty cluster keeps its center."""
    clusters = len(centers)

    def part(start: int, stop: int) -> tuple:
        sums = np.zeros(centers.shape, np.float32)
        add_rows(rows[start:stop], labels[start:stop], sums)
        return sums.astype(np.float64), np.bincount(labels[start:stop], minlength=clusters)

    sums, sizes = sum_blocks(part, len(rows), threads)
    full = sizes > 0
    moved = centers.copy()
    moved[full] = sums[full] / sizes[full, None]
    return moved


def stage_sizes(rows: int, clusters: int) -> list[int]:
    """Number of rows of each stage; the last stage has all rows."""
    if rows * clusters <= EXACT:
        return [rows]
    sizes = [FIRST_STAGE * clusters]
    while sizes[-1] * GROWTH < rows:
        sizes.append(sizes[-1] * GROWTH)
    return [*(size for size in sizes if size < rows), rows]


def run_stage(
    rows: np.ndarray,
    state: Solution,
    costs: np.ndarray,
    *,
    tol: float,
    max_iter: int,
    exact: bool,
    threads: int,
    report: Report,
) -> Solution:
    """Run Lloyd steps until the relative gain is below `tol`, or until `max_iter` steps in total."""
    no_rows = np.zeros(len(state.prices), np.int64)
    (squares,) = sum_blocks(lambda a, b: (float(np.vdot(rows[a:b], rows[a:b])),), len(rows), threads)
    lowest, idle = np.inf, 0
    while state.steps < max_iter and idle < PATIENCE:
        fill_costs(rows, state.centers, costs, threads)
        balanced = balance_prices(
            DenseCosts(costs), state.prices, no_rows,
            tolerance=IMBALANCE, steps=PASSES, sharpest=BLUNT, threads=threads,
        )  # fmt: skip
        if exact:
            balanced = balance_exactly(costs, balanced)
        value = (balanced.value + squares) / len(rows)
        centers = means(rows, balanced.labels, state.centers, threads)
        state = Solution(centers, balanced.prices, balanced.tie_smoothing, value, state.steps + 1)
        report(state)
        if balanced.converged:
            idle = idle + 1 if lowest - value <= tol * max(value, 0.0) + ROUNDING else 0
            lowest = min(lowest, value)
    return state


def balance_exactly(costs: np.ndarray, balanced: BalancedPrices) -> BalancedPrices:
    """Compute optimal labels of exact cluster sizes, and their cost."""
    clusters = costs.shape[1]
    labels = np.argmin(costs + balanced.prices, axis=1).astype(np.int32)
    repaired = repair(
        Candidates.from_dense(costs), labels, balanced.prices, np.zeros(clusters, np.int64),
        reach=np.full(clusters, np.inf), most_tied=0,
    )  # fmt: skip
    value = float(costs[np.arange(len(costs)), repaired.labels].sum(dtype=np.float64))
    return BalancedPrices(repaired.labels, repaired.prices, value, balanced.eps, converged=True, drawn=False)


def fit_centers(
    sample: np.ndarray,
    starts: list[np.ndarray],
    *,
    tol: float,
    max_iter: int,
    threads: int,
    report: Report,
) -> Solution:
    """Fit balanced k-means on the sample from the best of several starts.

    Args:
        sample: Sample `(n, features)` float32 in random order.
        starts: Initial centers `(K, features)` float32 of each start. The starts are compared after a few
            steps on few rows, or, if the sample is small, after their last step.
        tol: Relative gain of a step below which a stage ends.
        max_iter: Largest number of steps of a start.
        threads: Number of threads; the result does not depend on it.
        report: Callback after every step.
    """
    clusters = len(starts[0])
    costs = np.empty((len(sample), clusters), np.float32)
    sizes = stage_sizes(len(sample), clusters)
    exact = len(sample) * clusters <= EXACT

    def stage(size: int, state: Solution, most: int = max_iter) -> Solution:
        last = size == len(sample)
        # The last stage keeps its part of the steps.
        most = most if last else min(most, max_iter, state.steps + max(1, max_iter // len(sizes)))
        return run_stage(
            sample[:size], state, costs[:size],
            tol=tol if last else ROUGH * tol, max_iter=most, exact=exact, threads=threads, report=report,
        )  # fmt: skip

    state, *others = [Solution(start, np.zeros(clusters), FINEST, np.inf, 0) for start in starts]
    if others:
        small = len(sizes) == 1
        tried = [stage(sizes[0], begun, max_iter if small else TRIAL) for begun in (state, *others)]
        state = min(tried, key=lambda solution: solution.value)
        if small:  # every start has completed its only stage
            sizes = []
    for size in sizes:
        if state.value > ROUNDING:  # otherwise all rows equal their centers
            state = stage(size, state)
    # The current prices balance the rows for the centers before the last step.
    return final_prices(sample, state, costs, threads)


def final_prices(sample: np.ndarray, state: Solution, costs: np.ndarray, threads: int) -> Solution:
    """Balance the sample for the centers of a solution; returns it with the prices.

    Args:
        sample: Sample `(n, features)` float32.
        state: Solution, whose prices are the start.
        costs: Scratch `(n, K)` float32, overwritten.
        threads: Number of threads.
    """
    fill_costs(sample, state.centers, costs, threads)
    no_rows = np.zeros(len(state.prices), np.int64)
    balanced = balance_prices(
        DenseCosts(costs), state.prices, no_rows, tolerance=LAST_IMBALANCE, steps=3 * PASSES, threads=threads
    )
    return replace(state, prices=balanced.prices, eps=balanced.tie_smoothing)
