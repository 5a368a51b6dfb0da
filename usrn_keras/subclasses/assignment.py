"""Labels of exact sizes for all rows of a data set at given centers.

One pass over the rows decides most of them: a row whose best cluster leads by more than `reach` keeps it
whatever the prices do by less than that. The others, the near rows, are kept with their costs, and balance and
repair work on them alone. If the prices end within `reach`, the labels are an optimum for all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.subclasses.lloyd import fill_costs
from usrn_keras.subclasses.prices import balance_prices, draw_block, typical_gap
from usrn_keras.subclasses.repair import Repaired, repair
from usrn_keras.subclasses.rows import BLOCK, map_blocks

NEAR_COSTS = 2**25  # numbers kept for near rows (128 MiB), or
NEAR_COSTS_PER_ROW = 4  # as many per row where that is more
TRIES = 3  # passes over the rows
TOLERANCE = 0.002  # imbalance that is left to the repair
STEPS = 30  # passes over the costs of the near rows
FEW_ROWS = 4096  # misplaced rows that the repair moves in no time, however they are tied
REPAIR_COSTS = 2**18  # moves that the repair looks at first

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
        repaired, drawn = settle(seen.costs, prices, fixed, threads)
        moved = float(np.ptp(repaired.prices - prices))
        prices = repaired.prices
        if repaired.feasible and (moved <= reach or attempt > 1):
            break
    places = np.arange(len(seen.near))
    before = seen.costs[places, seen.labels[seen.near]]
    after = seen.costs[places, repaired.labels]
    seen.labels[seen.near] = repaired.labels
    inertia = seen.inertia + float(np.subtract(after, before, dtype=np.float64).sum())
    return Assignment(seen.labels, prices, max(inertia, 0.0), exact=not drawn and moved <= reach)


def measure_sample(
    sample: np.ndarray, centers: np.ndarray, prices: np.ndarray, share: float
) -> tuple[float, float]:
    """The lead below which a row counts as near, and the smoothing that decides between tied clusters."""
    sample = sample[:32_768]
    costs = np.empty((len(sample), len(centers)), np.float32)
    fill_costs(sample, centers, costs)
    eps = 0.003 * typical_gap(costs, prices)
    if share == 1.0:
        return np.inf, eps
    leads = np.empty(len(sample))
    lead_block(costs, prices, np.empty(len(sample), np.int32), leads)
    return float(np.quantile(leads, 0.8 * share)), eps


def pass_over_rows(
    read: ReadBlock,
    rows: int,
    centers: np.ndarray,
    prices: np.ndarray,
    reach: float,
    share: float,
    eps: float,
    threads: int,
    report: Callable[[int, float], None],
) -> Pass:
    """Labels all rows under the prices and keeps the costs of the near ones, at most `share` of each block."""
    labels = np.empty(rows, np.int32)

    def visit(start: int, stop: int) -> tuple[np.ndarray, np.ndarray, float]:
        block = read(start, stop)
        costs = np.empty((len(block), len(centers)), np.float32)
        fill_costs(block, centers, costs)
        leads = np.empty(len(block))
        part = labels[start:stop]
        lead_block(costs, prices, part, leads)
        near = np.flatnonzero(leads <= reach)
        room = int(np.ceil(share * len(block)))
        if len(near) > room:
            order = np.argsort(leads[near], kind="stable")
            left_out = np.sort(near[order[room:]])
            near = np.sort(near[order[:room]])
            drawn = np.empty(len(left_out), np.int32)
            draw_block(costs[left_out], prices, eps, start, drawn)
            part[left_out] = drawn
        return near + start, costs[near], squared_distances(block, centers, part)

    near, costs, inertia = [], [], 0.0
    for block, part in enumerate(map_blocks(visit, rows, threads), start=1):
        near.append(part[0])
        costs.append(part[1])
        inertia += part[2]
        done = min(block * BLOCK, rows)
        report(done, inertia / done)
    return Pass(labels, np.concatenate(near), np.concatenate(costs), inertia)


def settle(
    costs: np.ndarray, prices: np.ndarray, fixed: np.ndarray, threads: int
) -> tuple[Repaired, bool]:
    """Balances, then repairs the near rows; also tells whether ties were drawn."""
    balanced = balance_prices(costs, prices, fixed, tolerance=TOLERANCE, steps=STEPS, threads=threads)
    labels, leads = np.empty(len(costs), np.int32), np.empty(len(costs))
    lead_block(costs, balanced.prices, labels, leads)
    sizes = fixed + np.bincount(labels, minlength=len(prices))
    misplaced = np.abs(sizes - sizes.mean()).sum() / 2
    drawn = balanced.drawn and misplaced > FEW_ROWS
    if drawn:
        labels = balanced.labels
    reach = first_reach(costs, balanced.prices)
    while True:
        repaired = repair(costs, labels, balanced.prices, fixed, reach)
        if reach == np.inf or (repaired.feasible and (drawn or repaired.shift <= reach)):
            return repaired, drawn
        reach *= 4.0


def first_reach(costs: np.ndarray, prices: np.ndarray) -> float:
    """What a move may cost so that about `REPAIR_COSTS` moves are left; infinite where there are not more."""
    if costs.size <= REPAIR_COSTS:
        return np.inf
    priced = costs[:: max(1, len(costs) // 4096)] + prices
    priced -= priced.min(axis=1, keepdims=True)
    return float(np.quantile(priced, min(1.0, REPAIR_COSTS / costs.size + 1.0 / len(prices))))
