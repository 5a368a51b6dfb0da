"""One pass over all rows: labels most of them for good and keeps the candidates of the others.

A row that no other cluster is within reach of keeps its cheapest cluster. The others are *near*: they keep
the costs of all clusters within reach. What is left out is remembered in `slack`, so that it is known
afterwards how much it could matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.clustering.candidates import Candidates
from usrn_keras.clustering.lloyd import fill_costs
from usrn_keras.clustering.margins import Margins
from usrn_keras.clustering.rows import BLOCK, map_blocks
from usrn_keras.clustering.smoothed import CUT, FAST, draw, is_kept

ReadBlock = Callable[[int, int], np.ndarray]  # start, stop -> (rows, features) float32
Report = Callable[[int, float], None]  # rows done, their mean squared distance


@dataclass(frozen=True, eq=False)
class Sweep:
    """What one pass over the rows leaves."""

    labels: np.ndarray  # (n,) int32
    near: np.ndarray  # (f,) int64, rows that may still move
    costs: Candidates  # of those
    slack: np.ndarray  # (K, K) float32, the least that a move left out, from j to k, costs
    inertia: float  # under the labels

    def fixed(self) -> np.ndarray:
        """`(K,)` rows of each cluster that stay there."""
        return self.sizes() - np.bincount(self.labels[self.near], minlength=len(self.slack))

    def sizes(self) -> np.ndarray:
        """`(K,)` rows of each cluster."""
        return np.bincount(self.labels, minlength=len(self.slack))


def sweep(
    read: ReadBlock,
    rows: int,
    centers: np.ndarray,
    prices: np.ndarray,
    margins: Margins,
    threads: int,
    report: Report,
) -> Sweep:
    """Labels all rows under the prices and keeps the candidates of the near ones."""
    clusters = len(centers)
    labels = np.empty(rows, np.int32)
    prices = prices.astype(np.float32)

    def visit(start: int, stop: int) -> tuple:
        block = read(start, stop)
        costs = np.empty((len(block), clusters), np.float32)
        fill_costs(block, centers, costs)
        slack = np.full((clusters, clusters), np.inf, np.float32)
        near, counts, ids, kept = _sweep_block(
            costs, prices, margins.reach, margins.keep, margins.eps, start, labels[start:stop], slack
        )
        return near, counts, ids, kept, slack, squared_distances(block, centers, labels[start:stop])

    parts: list[tuple] = []
    slack, inertia = np.full((clusters, clusters), np.inf, np.float32), 0.0
    for block, (*kept, least, squares) in enumerate(map_blocks(visit, rows, threads), start=1):
        parts.append(tuple(kept))
        np.minimum(slack, least, out=slack)
        inertia += squares
        done = min(block * BLOCK, rows)
        report(done, inertia / done)
    near, counts, ids, kept = (np.concatenate(part) for part in zip(*parts, strict=True))
    starts = np.append(0, np.cumsum(counts, dtype=np.int64))
    return Sweep(labels, near, Candidates(starts, ids, kept, clusters), slack, inertia)


def cheapest(costs: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """Cheapest cluster of each row under the prices, `(n,)` int32."""
    labels, priced = np.empty(len(costs), np.int32), np.empty(costs.shape[1], np.float32)
    _label_block(costs, prices.astype(np.float32), priced, labels)
    return labels


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def squared_distances(rows, centers, labels):  # pragma: no cover - compiled
    """Sum over rows of the squared distance to the center of the label."""
    total = 0.0
    for i in range(rows.shape[0]):
        center = centers[labels[i]]
        one = np.float32(0.0)
        for f in range(rows.shape[1]):
            one += (rows[i, f] - center[f]) ** 2
        total += one
    return total


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def _price(costs, prices, priced):  # pragma: no cover - compiled
    """Writes `costs + prices` of a row; returns the first place of its least number, and it."""
    for j in range(len(priced)):
        priced[j] = costs[j] + prices[j]
    least = priced[0]
    for j in range(1, len(priced)):
        least = min(least, priced[j])
    best = 0
    while priced[best] != least:
        best += 1
    return best, least


@numba.njit(nogil=True, cache=True)
def _label_block(costs, prices, priced, labels):  # pragma: no cover - compiled
    for i in range(len(labels)):
        labels[i], _ = _price(costs[i], prices, priced)


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def _within(priced, least, reach):  # pragma: no cover - compiled
    """How many clusters are within reach."""
    count = 0
    for k in range(len(priced)):
        count += priced[k] - least <= reach[k]
    return count


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def _lower(slack, priced, least):  # pragma: no cover - compiled
    for k in range(len(slack)):
        slack[k] = min(slack[k], priced[k] - least)


@numba.njit(nogil=True, cache=True)
def _sweep_block(costs, prices, reach, keep, eps, start, labels, slack):  # pragma: no cover - compiled
    """Labels a block, lowers `slack`; returns near rows, how many candidates each has, ids and costs.

    A tied row may be drawn to a cluster that is not quite its cheapest, so a regret can be below 0.
    """
    rows, clusters = costs.shape
    near, counts = np.empty(rows, np.int64), np.empty(rows, np.int64)
    ids, kept = np.empty(rows * clusters, np.int32), np.empty(rows * clusters, np.float32)
    priced = np.empty(clusters, np.float32)
    tied = np.full(clusters, CUT * eps, np.float32)
    found = entries = 0
    for i in range(rows):
        best, least = _price(costs[i], prices, priced)
        if _within(priced, least, tied) > 1:
            best = draw(priced, eps, start + i)
            least = priced[best]
            count = _within(priced, least, reach[best]) if is_kept(start + i, keep) else 1
        else:
            count = _within(priced, least, reach[best])
        labels[i] = best
        if count <= 1:  # itself alone
            _lower(slack[best], priced, least)
            continue
        for k in range(clusters):
            regret = priced[k] - least
            if regret <= reach[best, k]:
                ids[entries] = k
                kept[entries] = costs[i, k]
                entries += 1
            else:
                slack[best, k] = min(slack[best, k], regret)
        near[found] = start + i
        counts[found] = count
        found += 1
    return near[:found].copy(), counts[:found].copy(), ids[:entries].copy(), kept[:entries].copy()
