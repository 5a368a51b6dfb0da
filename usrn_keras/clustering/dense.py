"""The costs of some rows for every cluster, `(n, K)`: what the fit on the sample works with."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.clustering.prices import Balance
from usrn_keras.clustering.rows import for_blocks, sum_blocks
from usrn_keras.clustering.smoothed import CUT, FAST, draw, share_out

GAP_ROWS = 512  # tell the typical gap


@dataclass(frozen=True, eq=False)
class DenseCosts:
    """Costs `(n, K)` float32; see `prices.Costs`."""

    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)

    @property
    def clusters(self) -> int:
        return self.values.shape[1]

    def measure(self, prices: np.ndarray, eps: float, labels: np.ndarray, threads: int) -> Balance:
        """See `prices.Costs.measure`."""
        prices = prices.astype(np.float32)

        def part(start: int, stop: int) -> tuple:
            parts = Balance.nothing(self.clusters)
            sums = parts.mass, parts.overlap, parts.sizes
            return *sums, *_measure_block(self.values[start:stop], prices, eps, labels[start:stop], *sums)

        return Balance(*sum_blocks(part, len(self), threads))

    def draw(self, prices: np.ndarray, eps: float, threads: int) -> np.ndarray:
        """See `prices.Costs.draw`."""
        labels = np.empty(len(self), np.int32)
        for_blocks(
            lambda start, stop: _draw_block(self.values[start:stop], prices, eps, start, labels[start:stop]),
            len(self),
            threads,
        )
        return labels

    def typical_gap(self, prices: np.ndarray) -> float:
        """See `prices.Costs.typical_gap`.

        Where most rows are tied, a twentieth of the mean distance to all clusters stands in for it.
        """
        priced = np.partition(self.values[:GAP_ROWS] + prices, min(1, self.clusters - 1), axis=1)
        gap = (priced[:, -1 if self.clusters == 1 else 1] - priced[:, 0]).mean()
        spread = priced.mean() - priced[:, 0].mean()
        return max(float(gap), 0.05 * float(spread))


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def _measure_block(costs, prices, eps, labels, mass, overlap, sizes):  # pragma: no cover - compiled
    """Adds a block to `mass`, `overlap`, `sizes`, writes its labels; returns both values."""
    clusters = costs.shape[1]
    priced = np.empty(clusters, np.float32)
    near = np.empty(clusters, np.int64)
    gaps = np.empty(clusters, np.float64)
    value = below = 0.0
    for i in range(costs.shape[0]):
        for j in range(clusters):
            priced[j] = costs[i, j] + prices[j]
        least = priced[0]
        for j in range(1, clusters):
            least = min(least, priced[j])
        bound = least + np.float32(CUT * eps)
        found = 0
        for j in range(clusters):  # without a branch: which clusters are near cannot be foreseen
            near[found] = j
            found += priced[j] <= bound
        best = clusters
        for a in range(found):
            gaps[a] = priced[near[a]] - least
            if best == clusters and gaps[a] == 0.0:
                best = near[a]
        below += share_out(near, gaps, found, eps, mass, overlap)
        labels[i] = best
        sizes[best] += 1
        value += least
    return value, value - below


@numba.njit(nogil=True, cache=True)
def _draw_block(costs, prices, eps, start, labels):  # pragma: no cover - compiled
    for i in range(costs.shape[0]):
        labels[i] = draw(costs[i] + prices, eps, start + i)
