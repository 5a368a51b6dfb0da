"""The costs of many rows for the few clusters that each may belong to, a sparse `(n, K)`."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.clustering.prices import Balance
from usrn_keras.clustering.rows import for_blocks, sum_blocks
from usrn_keras.clustering.smoothed import CUT, FAST, draw, share_out

GAP_ROWS = 512  # tell the typical gap


@dataclass(frozen=True, eq=False)
class Candidates:
    """Costs of row `i` for the clusters `ids[starts[i]:starts[i + 1]]`; see `prices.Costs`."""

    starts: np.ndarray  # (n + 1,) int64
    ids: np.ndarray  # (entries,) int32, ascending in each row
    costs: np.ndarray  # (entries,) float32
    clusters: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def everything(cls, costs: np.ndarray) -> Candidates:
        """All clusters are candidates of every row; costs `(n, K)` float32."""
        rows, clusters = costs.shape
        ids = np.tile(np.arange(clusters, dtype=np.int32), rows)
        return cls(np.arange(0, rows * clusters + 1, clusters), ids, costs.reshape(-1), clusters)

    def measure(self, prices: np.ndarray, eps: float, labels: np.ndarray, threads: int) -> Balance:
        """See `prices.Costs.measure`."""
        if len(self) == 0:
            return Balance.nothing(self.clusters)

        def part(start: int, stop: int) -> tuple:
            parts = Balance.nothing(self.clusters)
            sums = parts.mass, parts.overlap, parts.sizes
            starts, found = self.starts[start : stop + 1], labels[start:stop]
            return *sums, *_measure_rows(starts, self.ids, self.costs, prices, eps, found, *sums)

        return Balance(*sum_blocks(part, len(self), threads))

    def draw(self, prices: np.ndarray, eps: float, threads: int) -> np.ndarray:
        """See `prices.Costs.draw`."""
        labels = np.empty(len(self), np.int32)
        for_blocks(
            lambda start, stop: _draw_rows(
                self.starts[start : stop + 1], self.ids, self.costs, prices, eps, start, labels[start:stop]
            ),
            len(self),
            threads,
        )
        return labels

    def typical_gap(self, prices: np.ndarray) -> float:
        """See `prices.Costs.typical_gap`."""
        chosen = np.linspace(0, len(self) - 1, min(len(self), GAP_ROWS)).astype(np.int64)
        gaps, spreads = [], []
        for i in chosen:
            part = slice(self.starts[i], self.starts[i + 1])
            priced = np.sort(self.costs[part] + prices[self.ids[part]])
            gaps.append(priced[min(1, len(priced) - 1)] - priced[0])
            spreads.append(priced.mean() - priced[0])
        return max(float(np.mean(gaps)), 0.05 * float(np.mean(spreads))) if gaps else 0.0

    def cost_of(self, labels: np.ndarray) -> np.ndarray:
        """Cost of each row for its label, `(n,)` float64."""
        found = np.empty(len(self))
        _costs_of(self.starts, self.ids, self.costs, labels, found)
        return found


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def _measure_rows(
    starts, ids, costs, prices, eps, labels, mass, overlap, sizes
):  # pragma: no cover - compiled
    """Adds some rows to `mass`, `overlap`, `sizes`, writes their labels; returns both values."""
    near = np.empty(len(prices), np.int64)
    gaps = np.empty(len(prices), np.float64)
    value = below = 0.0
    for i in range(len(starts) - 1):
        best = ids[starts[i]]
        least = costs[starts[i]] + prices[best]
        for e in range(starts[i] + 1, starts[i + 1]):
            priced = costs[e] + prices[ids[e]]
            if priced < least:
                least = priced
                best = ids[e]
        found = 0
        for e in range(starts[i], starts[i + 1]):
            gap = costs[e] + prices[ids[e]] - least
            if gap <= CUT * eps:
                near[found] = ids[e]
                gaps[found] = gap
                found += 1
        below += share_out(near, gaps, found, eps, mass, overlap)
        labels[i] = best
        sizes[best] += 1
        value += least
    return value, value - below


@numba.njit(nogil=True, cache=True)
def _draw_rows(starts, ids, costs, prices, eps, first, labels):  # pragma: no cover - compiled
    for i in range(len(starts) - 1):
        a, b = starts[i], starts[i + 1]
        labels[i] = ids[a + draw(costs[a:b] + prices[ids[a:b]], eps, first + i)]


@numba.njit(nogil=True, cache=True)
def _costs_of(starts, ids, costs, labels, found):  # pragma: no cover - compiled
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            if ids[e] == labels[i]:
                found[i] = costs[e]
