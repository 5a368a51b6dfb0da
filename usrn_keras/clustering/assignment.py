"""Labels of exact sizes for all rows of a data set at given centers.

One pass over the rows decides most of them: a row whose best cluster leads by more than `reach` keeps it
whatever the prices do by less than that. The others, the near rows, are kept with their costs, and balance
and repair work on them alone. If the prices end within `reach`, the labels are an optimum for all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numba
import numpy as np

from usrn_keras.clustering.lloyd import fill_costs
from usrn_keras.clustering.prices import SHARPEST, SMOOTHING, balance_prices, draw_block, typical_gap
from usrn_keras.clustering.repair import Repaired, repair, within_reach
from usrn_keras.clustering.rows import BLOCK, map_blocks

NEAR_COSTS = 2**25  # numbers kept for near rows (128 MiB), or
NEAR_COSTS_PER_ROW = 4  # as many per row where that is more
TRIES = 3  # passes over the rows
TOLERANCE = 0.002  # imbalance that is left to the repair
STEPS = 40  # passes over the costs of the near rows
FEW_ROWS = 4096  # misplaced rows that the repair moves in no time, however they are tied
MOVES = 2**18  # that the repair looks at first, over all pairs of clusters
FEW_MOVES = 16  # at least, of each pair
SAMPLE = 16_384  # rows that a reach is estimated from

ReadBlock = Callable[[int, int], np.ndarray]  # start, stop -> (rows, features) float32


@dataclass(frozen=True, eq=False)
class Assignment:
    """Labels, their prices and the inertia."""

    labels: np.ndarray  # (n,) int32
    prices: np.ndarray  # (K,) float64
    inertia: float  # sum of squared distances, in the unit of the blocks
    exact: bool  # an optimum, up to the rounding of float32


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass over the rows leaves."""

    labels: np.ndarray  # (n,) int32
    near: np.ndarray  # (f,) rows that may still move
    costs: np.ndarray  # (f, K) float32
    inertia: float


@numba.njit(nogil=True, cache=True)
def lead_block(costs, prices, labels, leads):  # pragma: no cover - compiled
    """Cheapest cluster of each row and how far it leads."""
    for i in range(costs.shape[0]):
        least = second = np.inf
        for j in range(costs.shape[1]):
            priced = costs[i, j] + prices[j]
            if priced < least:
                second = least
                least = priced
                labels[i] = j
            elif priced < second:
                second = priced
        leads[i] = second - least


def cheapest(costs: np.ndarray, prices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cheapest cluster of each row `(n,)` int32 and how far it leads `(n,)` float64."""
    labels, leads = np.empty(len(costs), np.int32), np.empty(len(costs))
    lead_block(costs, prices, labels, leads)
    return labels, leads


@numba.njit(nogil=True, cache=True)
def squared_distances(rows, centers, labels):  # pragma: no cover - compiled
    """Sum over rows of the squared distance to the center of the label."""
    total = 0.0
    for i in range(rows.shape[0]):
        one = np.float32(0.0)
        for f in range(rows.shape[1]):
            one += (rows[i, f] - centers[labels[i], f]) ** 2
        total += one
    return total


def assign_rows(
    read: ReadBlock,
    rows: int,
    centers: np.ndarray,
    prices: np.ndarray,
    sample: np.ndarray,
    threads: int,
    report: Callable[[int, float], None],
) -> Assignment:
    """Labels of exact sizes for all rows.

    Args:
        read: gives a block of rows, centered and scaled.
        rows: how many there are in all.
        centers: `(K, features)` float32.
        prices: `(K,)` float64, nearly balancing.
        sample: `(m, features)` float32, rows of the same data; tells how large `reach` may be.
        threads: over the blocks; the result does not depend on it.
        report: called after every block with the rows labelled so far and their mean squared distance.
    """
    room = max(NEAR_COSTS, NEAR_COSTS_PER_ROW * rows) // len(prices)
    for attempt in range(1, TRIES + 1):
        share = 1.0 if attempt == TRIES else min(1.0, room / rows)
        reach, eps = measure_sample(sample, centers, prices, share)
        seen = pass_over_rows(read, rows, centers, prices, reach, share, eps, threads, report)
        fixed = np.bincount(np.delete(seen.labels, seen.near), minlength=len(prices))
        repaired = settle(seen.costs, prices, fixed, threads)
        exact = repaired.optimal and within_reach(repaired.prices - prices, reach[:, None])
        prices = repaired.prices
        # A second pass is worth its time, a third one only where the sizes are not met.
        if exact or (repaired.feasible and attempt > 1):
            break
    places = np.arange(len(seen.near))
    before = seen.costs[places, seen.labels[seen.near]]
    after = seen.costs[places, repaired.labels]
    seen.labels[seen.near] = repaired.labels
    inertia = seen.inertia + float(np.subtract(after, before, dtype=np.float64).sum())
    return Assignment(seen.labels, prices, max(inertia, 0.0), exact)


def measure_sample(
    sample: np.ndarray, centers: np.ndarray, prices: np.ndarray, share: float
) -> tuple[np.ndarray, float]:
    """The leads below which rows count as near, and the smoothing that decides between tied clusters.

    Each cluster has a reach `(K,)` of its own, so that `share` of its rows are near: a cluster apart from all
    others must be able to give rows away too.
    """
    sample = sample[:SAMPLE]
    costs = np.empty((len(sample), len(centers)), np.float32)
    fill_costs(sample, centers, costs)
    eps = SMOOTHING * SHARPEST * typical_gap(costs, prices)
    if share == 1.0:
        return np.full(len(prices), np.inf), eps
    labels, leads = cheapest(costs, prices)
    groups = [leads[labels == j] for j in range(len(prices))]
    return np.array([np.quantile(group, 0.8 * share) if len(group) else np.inf for group in groups]), eps


def pass_over_rows(
    read: ReadBlock,
    rows: int,
    centers: np.ndarray,
    prices: np.ndarray,
    reach: np.ndarray,
    share: float,
    eps: float,
    threads: int,
    report: Callable[[int, float], None],
) -> Pass:
    """Labels all rows under the prices, keeps the costs of the near ones, at most `share` of each block."""
    labels = np.empty(rows, np.int32)

    def visit(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, float]:
        block = read(start, stop)
        costs = np.empty((len(block), len(centers)), np.float32)
        fill_costs(block, centers, costs)
        part, leads = cheapest(costs, prices)
        near = np.flatnonzero(leads <= reach[part])
        room = int(np.ceil(share * len(block)))
        if len(near) > room:
            order = np.argsort(leads[near], kind="stable")
            left_out = np.sort(near[order[room:]])
            near = np.sort(near[order[:room]])
            drawn = np.empty(len(left_out), np.int32)
            draw_block(costs[left_out], prices, eps, start, drawn)
            part[left_out] = drawn
        labels[start:stop] = part
        return near + start, costs[near], squared_distances(block, centers, part)

    near, costs, inertia = [], [], 0.0
    for block, part in enumerate(map_blocks(visit, rows, threads), start=1):
        near.append(part[0])
        costs.append(part[1])
        inertia += part[2]
        done = min(block * BLOCK, rows)
        report(done, inertia / done)
    return Pass(labels, np.concatenate(near), np.concatenate(costs), inertia)


def settle(costs: np.ndarray, prices: np.ndarray, fixed: np.ndarray, threads: int) -> Repaired:
    """Balances, then repairs the near rows."""
    balanced = balance_prices(costs, prices, fixed, tolerance=TOLERANCE, steps=STEPS, threads=threads)
    prices = balanced.prices
    labels, _ = cheapest(costs, prices)
    sizes = fixed + np.bincount(labels, minlength=len(prices))
    misplaced = np.abs(sizes - sizes.mean()).sum() / 2
    drawn = balanced.drawn and misplaced > FEW_ROWS
    if drawn:
        labels = balanced.labels
    moves = max(FEW_MOVES, int(MOVES / len(prices) ** 2))
    while True:
        reach = move_reach(costs, labels, prices, moves)
        repaired = repair(costs, labels, prices, fixed, reach, most_tied=moves)
        if repaired.optimal or (repaired.feasible and drawn) or np.isinf(reach).all():
            return replace(repaired, optimal=repaired.optimal and not drawn)
        moves *= 4


def move_reach(costs: np.ndarray, labels: np.ndarray, prices: np.ndarray, moves: int) -> np.ndarray:
    """What a move from `j` to `k` may cost, `(K, K)`, so that the cheapest `moves` of each pair are left."""
    clusters = len(prices)
    reach = np.full((clusters, clusters), np.inf)
    order = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=clusters))
    for j, rows in enumerate(np.split(order, ends[:-1])):
        if len(rows) > moves:
            priced = costs[rows] + prices
            priced -= priced[:, j : j + 1].copy()
            reach[j] = np.partition(priced, moves, axis=0)[moves]
    return reach
