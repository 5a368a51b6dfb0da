"""Balanced k-means on a sample in memory, in stages over growing prefixes of it, from k-means++ centers on.

A step assigns the rows under balancing prices and moves every center to the mean of its rows. Far from the
solution a few thousand rows say as much as all of them, so each stage starts where a smaller one has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numba
import numpy as np
from sklearn.cluster import kmeans_plusplus

from usrn_keras.clustering.costs import Candidates, DenseCosts
from usrn_keras.clustering.prices import FINEST, Balanced, balance_prices
from usrn_keras.clustering.repair import repair
from usrn_keras.clustering.rows import for_blocks, sum_blocks

ROWS_PER_CLUSTER = 50  # k-means++ gains nothing from more, and costs K passes over them


def start_centers(
    init: str | np.ndarray, sample: np.ndarray, clusters: int, rng: np.random.RandomState
) -> np.ndarray:
    """`(clusters, features)` float32 rows to start from.

    Args:
        init: `"k-means++"`, `"random"` (distinct rows) or the centers themselves, in the frame of the sample.
        sample: `(n, features)` float32 in random order, at least `clusters` rows.
    """
    if isinstance(init, np.ndarray):
        return init.astype(np.float32)
    if init == "random":
        return sample[rng.permutation(len(sample))[:clusters]]
    rows = sample[: ROWS_PER_CLUSTER * clusters].astype(np.float64)  # scikit-learn would, block by block
    centers, _ = kmeans_plusplus(rows, clusters, random_state=rng)
    return centers.astype(np.float32)


FIRST_STAGE = 64  # rows per cluster
GROWTH = 4
TRIAL = 4  # steps of each of several starts before the best one goes on
ROUGH = 10.0  # times `tol`: where all stages but the last one stop
EXACT = 2**16  # costs: up to this many every step balances exactly, and so never makes the inertia worse
IMBALANCE = 0.01  # accepted in a step of a larger problem
LAST_IMBALANCE = 0.002  # of the prices that are handed on
BLUNT = 1 / 4  # of the smoothing: where a step gives up on ties and draws them
PASSES = 20  # over the costs, per step; from the second step on two or three suffice
ROUNDING = 1e-6  # of float32, in the unit of the frame: a smaller gain is none
PATIENCE = 2  # steps without a gain before a stage ends; the value of a step is a little noisy


@dataclass(frozen=True, eq=False)
class Solution:
    """Centers, prices and how good they are."""

    centers: np.ndarray  # (K, features) float32
    prices: np.ndarray  # (K,) float64
    eps: float  # smoothing that they need to balance tied rows; `prices.FINEST` for none
    value: float  # inertia per row, as the dual sees it
    steps: int  # taken so far


Report = Callable[[Solution], None]


@numba.njit(nogil=True, cache=True)
def add_rows(rows, labels, sums):  # pragma: no cover - compiled
    """Adds every row to the sum of its cluster."""
    for i in range(rows.shape[0]):
        j = labels[i]
        for f in range(rows.shape[1]):
            sums[j, f] += rows[i, f]


def fill_costs(rows: np.ndarray, centers: np.ndarray, costs: np.ndarray, threads: int = 1) -> None:
    """Writes `|c|^2 - 2 x.c`, the squared distance less `|x|^2`, to `costs` `(n, K)` float32."""
    directions = (-2.0 * centers).T
    squares = np.einsum("kf,kf->k", centers, centers)

    def fill(start: int, stop: int) -> None:
        block = costs[start:stop]
        np.matmul(rows[start:stop], directions, out=block)
        block += squares

    for_blocks(fill, len(rows), threads)


def means(rows: np.ndarray, labels: np.ndarray, centers: np.ndarray, threads: int) -> np.ndarray:
    """Mean of the rows of every cluster; an empty cluster keeps its center."""
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
    """Rows of each stage; the last one has them all."""
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
    """Lloyd steps until one gains less than `tol` of the inertia, or `max_iter` steps are taken in all."""
    nothing = np.zeros(len(state.prices), np.int64)
    (squares,) = sum_blocks(lambda a, b: (float(np.vdot(rows[a:b], rows[a:b])),), len(rows), threads)
    lowest, idle = np.inf, 0
    while state.steps < max_iter and idle < PATIENCE:
        fill_costs(rows, state.centers, costs, threads)
        balanced = balance_prices(
            DenseCosts(costs), state.prices, nothing,
            tolerance=IMBALANCE, steps=PASSES, sharpest=BLUNT, threads=threads,
        )  # fmt: skip
        if exact:
            balanced = balance_exactly(costs, balanced)
        value = (balanced.value + squares) / len(rows)
        centers = means(rows, balanced.labels, state.centers, threads)
        state = Solution(centers, balanced.prices, balanced.tied, value, state.steps + 1)
        report(state)
        if balanced.settled:
            idle = idle + 1 if lowest - value <= tol * max(value, 0.0) + ROUNDING else 0
            lowest = min(lowest, value)
    return state


def balance_exactly(costs: np.ndarray, balanced: Balanced) -> Balanced:
    """Optimal labels of exact sizes, and what they cost."""
    clusters = costs.shape[1]
    labels = np.argmin(costs + balanced.prices, axis=1).astype(np.int32)
    repaired = repair(
        Candidates.everything(costs), labels, balanced.prices, np.zeros(clusters, np.int64),
        reach=np.full(clusters, np.inf), most_tied=0,
    )  # fmt: skip
    value = float(costs[np.arange(len(costs)), repaired.labels].sum(dtype=np.float64))
    return Balanced(repaired.labels, repaired.prices, value, balanced.eps, settled=True, drawn=False)


def fit_centers(
    sample: np.ndarray,
    starts: list[np.ndarray],
    *,
    tol: float,
    max_iter: int,
    threads: int,
    report: Report,
) -> Solution:
    """Balanced k-means on the sample from the best of several starts.

    Args:
        sample: `(n, features)` float32 in random order.
        starts: centers `(K, features)` float32 to begin with; compared after a few steps on few rows, or, if
            the sample is small, at the end.
    """
    clusters = len(starts[0])
    costs = np.empty((len(sample), clusters), np.float32)
    sizes = stage_sizes(len(sample), clusters)
    exact = len(sample) * clusters <= EXACT

    def stage(size: int, state: Solution, most: int = max_iter) -> Solution:
        last = size == len(sample)
        # No stage may use up the steps of the last one.
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
        if small:  # the best one has run to its end
            sizes = []
    for size in sizes:
        if state.value > ROUNDING:  # else all rows lie on the centers
            state = stage(size, state)
    # The prices balance the rows around the centers before the last step.
    fill_costs(sample, state.centers, costs, threads)
    nothing = np.zeros(clusters, np.int64)
    balanced = balance_prices(
        DenseCosts(costs), state.prices, nothing, tolerance=LAST_IMBALANCE, steps=3 * PASSES, threads=threads
    )
    return replace(state, prices=balanced.prices, eps=balanced.tied)
