"""Assign all rows of a data set to given centers with exact cluster sizes.

One pass over the rows labels most of them finally; balance and repair work on the candidates of the others.
Prices are the dual of the assignment, so they also bound the distance of the labels from an optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from usrn_keras.clustering.compiled import compiled
from usrn_keras.clustering.costs import Candidates
from usrn_keras.clustering.prices import balance_prices
from usrn_keras.clustering.repair import Repaired, repair
from usrn_keras.clustering.row_sweep import (
    ReadBlock,
    Sweep,
    corrected_prices,
    measure_margins,
    sweep,
    unlimited_margins,
)

ENTRIES = 2**22  # number of candidates that memory is always available for (32 MiB)
ENTRIES_PER_ROW = 2  # candidates per row, if that is more
TOLERANCE = 2e-4  # imbalance that the repair removes
STEPS = 60  # largest number of passes over the candidates
FEW_ROWS = 4096  # misplaced rows that the repair moves quickly, even if they are tied
MOVES = 2**18  # moves that the first repair considers, over all clusters
REACH_MOVES = 2**16  # moves that the reach is estimated from
MOST_MOVES = 2**23  # largest number of moves that a repair considers
LEAST_NOISE = 0.005  # relative imbalance of the prices without any sampling error
CORRECTED = 0.1  # share of the variance that remains after a correction with the sizes of all rows
WIDER = 30.0  # factor on the variance if the correction was not sufficient
GAP = 1e-4  # accepted gap to an optimum, as a share of the inertia
LENIENCE = (1.0, 10.0, 100.0, np.inf)  # factor on GAP after the first pass, the second, ...
ROUNDING = 1e-6  # rounding error of float32 per row, in the unit of the frame


@dataclass(frozen=True, eq=False)
class Assignment:
    """Labels, their prices and their quality."""

    labels: np.ndarray  # (n,) int32
    prices: np.ndarray  # (K,) float64
    inertia: float  # sum of squared distances, in the unit of the blocks
    gap: float  # upper bound on the distance to the lowest inertia for these sizes


def assign_rows(
    read: ReadBlock,
    rows: int,
    centers: np.ndarray,
    prices: np.ndarray,
    eps: float,
    sample: np.ndarray,
    threads: int,
    report: Callable[[int, float], None],
) -> Assignment:
    """Assign all rows with exact cluster sizes.

    Args:
        read: Function that reads a block of rows, centered and scaled.
        rows: Number of rows.
        centers: Centers `(K, features)` float32.
        prices: Prices `(K,)` float64 that nearly balance the clusters.
        eps: Smoothing for which they balance; `prices.FINEST` if they balance without smoothing.
        sample: Random sample of the rows in random order, `(m, features)` float32.
        threads: Number of threads; the result does not depend on it.
        report: Callback after every block, with the number of labelled rows and their mean squared distance.
    """
    clusters = len(prices)
    entries = max(ENTRIES / rows, ENTRIES_PER_ROW)
    best = None
    noise = LEAST_NOISE**2 + clusters * max(0.0, 1.0 / len(sample) - 1.0 / rows)
    for attempt, lenience in enumerate(LENIENCE, start=1):
        prices = prices.astype(np.float32).astype(np.float64)  # rounded as in the pass over the rows
        if clusters <= entries or attempt == len(LENIENCE):
            margins = unlimited_margins(clusters)
        else:
            margins = measure_margins(sample, centers, prices, eps, noise, entries)
        seen = sweep(read, rows, centers, prices, margins, threads, report)
        sizes = seen.sizes()
        assignment, feasible = balance_and_repair(
            seen, prices, threads, MOVES if attempt == 1 else MOST_MOVES
        )
        if feasible and (best is None or assignment.inertia < best.inertia):
            best = assignment
        if best is not None and best.gap <= acceptable(best.inertia, rows) * lenience:
            return best
        corrected = corrected_prices(sample, centers, prices, margins.eps, sizes, threads)
        prices, eps = corrected.prices, corrected.tie_smoothing
        noise = LEAST_NOISE**2 + (CORRECTED if attempt == 1 else WIDER) * noise
    raise RuntimeError(
        f"no balanced assignment of {rows} rows to {clusters} clusters was found; please report this bug"
    )


def acceptable(inertia: float, rows: int) -> float:
    """Gap to an optimum that is accepted."""
    return GAP * inertia + ROUNDING * rows


def balance_and_repair(
    seen: Sweep, prices: np.ndarray, threads: int, most_moves: int
) -> tuple[Assignment, bool]:
    """Balance and repair the near rows; returns the assignment and whether its sizes are exact."""
    costs, fixed = seen.costs, seen.fixed()
    before = costs.cost_of(seen.labels[seen.near])
    labels, balanced = balanced_labels(costs, prices, fixed, threads)
    moves = MOVES
    while True:
        reach = move_reach(costs, labels, balanced, moves)
        repaired = repair(costs, labels, balanced, fixed, reach, most_tied=max(1, moves // len(prices)))
        inertia = seen.inertia + float((costs.cost_of(repaired.labels) - before).sum())
        gap = gap_of(seen, repaired, prices, threads) if repaired.feasible else np.inf
        accepted = gap <= acceptable(inertia, len(seen.labels))
        if accepted or np.isinf(reach).all() or moves >= most_moves:
            break
        moves *= 8
    final = seen.labels
    final[seen.near] = repaired.labels
    return Assignment(final, repaired.prices, max(inertia, 0.0), gap), repaired.feasible


def balanced_labels(
    costs: Candidates, prices: np.ndarray, fixed: np.ndarray, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the initial labels of the repair, `(f,)` int32, and their prices."""
    if len(costs) == 0:
        return np.empty(0, np.int32), prices
    balanced = balance_prices(costs, prices, fixed, tolerance=TOLERANCE, steps=STEPS, threads=threads)
    if not balanced.drawn:
        return balanced.labels, balanced.prices
    labels = np.empty(len(costs), np.int32)
    sizes = fixed + costs.measure(balanced.prices, balanced.eps, labels, threads).sizes
    misplaced = np.abs(sizes - sizes.mean()).sum() / 2
    return (balanced.labels if misplaced > FEW_ROWS else labels), balanced.prices


def gap_of(seen: Sweep, repaired: Repaired, before: np.ndarray, threads: int) -> float:
    """Bound the distance to the lowest inertia for these sizes: the cost minus the value of the dual."""
    costs, prices = seen.costs, repaired.prices
    clusters = len(prices)
    scratch = np.empty(len(costs), np.int32)
    least = costs.measure(prices, 1.0, scratch, threads).value
    near = float((costs.cost_of(repaired.labels) + prices[repaired.labels]).sum()) - least
    # Sizes are part of the optimum: in the dual, the clusters with the highest prices have the extra rows.
    sizes = seen.fixed() + np.bincount(repaired.labels, minlength=clusters)
    extra = sizes > sizes.min()
    slots = float(np.sort(prices)[clusters - extra.sum() :].sum() - prices[extra].sum())
    # Moves that were left out matter if the prices have changed by more than the slack.
    change = prices - before
    beyond = np.maximum(change[:, None] - change - seen.slack, 0.0).max(axis=1)
    return max(0.0, near + slots + float(beyond @ seen.sizes()))


def move_reach(costs: Candidates, labels: np.ndarray, prices: np.ndarray, moves: int) -> np.ndarray:
    """Regret `(K,)` that about `moves / K` moves out of each cluster stay below; infinite if all do."""
    clusters = len(prices)
    stride = max(1, len(costs.ids) // REACH_MOVES)
    sources, regrets = _moves(costs.starts, costs.ids, costs.costs, labels, prices, stride)
    order = np.lexsort((regrets, sources))
    counts = np.bincount(sources, minlength=clusters)
    wanted = max(1, moves // (clusters * stride))
    place = np.cumsum(counts) - counts + wanted
    found = regrets[order[np.minimum(place, len(order) - 1)]] if len(order) else np.zeros(clusters)
    return np.where(counts > wanted, found, np.inf)


@compiled()
def _moves(starts, ids, costs, labels, prices, stride):  # pragma: no cover - compiled
    """List the cluster and the regret of every candidate move of each `stride`-th row."""
    most = 0
    for i in range(0, len(labels), stride):
        most += starts[i + 1] - starts[i]
    sources, regrets = np.empty(most, np.int64), np.empty(most)
    found = 0
    for i in range(0, len(labels), stride):
        base = np.inf
        for e in range(starts[i], starts[i + 1]):
            if ids[e] == labels[i]:
                base = costs[e] + prices[ids[e]]
        for e in range(starts[i], starts[i + 1]):
            if ids[e] != labels[i]:
                sources[found] = labels[i]
                regrets[found] = costs[e] + prices[ids[e]] - base
                found += 1
    return sources[:found], regrets[:found]
