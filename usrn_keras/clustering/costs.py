"""Dense and sparse costs of rows for clusters.

`DenseCosts` is a matrix `(n, K)`, used by the fit on a sample. `Candidates` is a sparse matrix `(n, K)`, used
by the assignment of all rows. Both divide a row among nearly equal clusters by the smoothed minimum, which
is compiled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.clustering.compiled import compiled
from usrn_keras.clustering.prices import Balance
from usrn_keras.clustering.rows import run_blocks, sum_blocks

# All fast-math flags except `ninf`, because costs may be infinite.
FAST = {"nnan", "nsz", "arcp", "contract", "reassoc"}
CUT = 12.0  # largest gap of a cluster that gets a share, in units of eps: exp(-12) = 6e-6 is left out
MOST_NEAR = 24  # largest number of near clusters with mixed terms; more count as ties
GOLDEN = 0.6180339887498949  # the fractional parts of its multiples are evenly distributed in 0..1
PLASTIC = 0.7548776662466927  # likewise; together both are evenly distributed in the unit square


@compiled(nogil=True, fastmath=FAST)
def add_shares(near, gaps, found, eps, mass, overlap):  # pragma: no cover - compiled
    """Add the shares `p ~ exp(-gap / eps)` of one row to `mass`, and `p p^T` to `overlap`.

    `gaps[:found]` is overwritten by the shares. Returns the hard minus the smoothed minimum.
    """
    if found == 1:
        mass[near[0]] += 1.0
        overlap[near[0], near[0]] += 1.0
        return 0.0
    total = 0.0
    for a in range(found):
        gaps[a] = np.exp(-gaps[a] / eps)
        total += gaps[a]
    for a in range(found):
        gaps[a] /= total
        mass[near[a]] += gaps[a]
        # Without the mixed terms a step is shorter but valid; with them each duplicate would cost K^2.
        for b in range(a + 1 if found <= MOST_NEAR else 0):
            overlap[near[a], near[b]] += gaps[a] * gaps[b]
    return eps * np.log(total)


@compiled(nogil=True)
def is_kept(index, share):  # pragma: no cover - compiled
    """Whether a row belongs to an evenly distributed `share` of all rows, independent of its draw."""
    return (index + 1) * PLASTIC % 1.0 < share


@compiled(nogil=True)
def draw(priced, eps, index):  # pragma: no cover - compiled
    """Draw an index of `priced` with the shares of the smoothed minimum; the index of the row is the seed."""
    least = np.inf
    for a in range(len(priced)):
        least = min(least, priced[a])
    total = 0.0
    for a in range(len(priced)):
        total += np.exp((least - priced[a]) / eps)
    left = (index + 1) * GOLDEN % 1.0 * total
    for a in range(len(priced)):
        left -= np.exp((least - priced[a]) / eps)
        if left <= 0.0:
            return a
    return len(priced) - 1


GAP_ROWS = 512  # rows that the typical gap is measured on


@dataclass(frozen=True, eq=False)
class DenseCosts:
    """Dense costs `(n, K)` float32; implements `prices.Costs`."""

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
            parts = Balance.zeros(self.clusters)
            sums = parts.mass, parts.overlap, parts.sizes
            return *sums, *_measure_block(self.values[start:stop], prices, eps, labels[start:stop], *sums)

        return Balance(*sum_blocks(part, len(self), threads))

    def draw(self, prices: np.ndarray, eps: float, threads: int) -> np.ndarray:
        """See `prices.Costs.draw`."""
        labels = np.empty(len(self), np.int32)
        run_blocks(
            lambda start, stop: _draw_block(self.values[start:stop], prices, eps, start, labels[start:stop]),
            len(self),
            threads,
        )
        return labels

    def typical_gap(self, prices: np.ndarray) -> float:
        """See `prices.Costs.typical_gap`.

        If most rows are tied, it is a twentieth of the mean difference to all clusters.
        """
        priced = np.partition(self.values[:GAP_ROWS] + prices, min(1, self.clusters - 1), axis=1)
        gap = (priced[:, -1 if self.clusters == 1 else 1] - priced[:, 0]).mean()
        spread = priced.mean() - priced[:, 0].mean()
        return max(float(gap), 0.05 * float(spread))


@compiled(nogil=True, fastmath=FAST)
def _measure_block(costs, prices, eps, labels, mass, overlap, sizes):  # pragma: no cover - compiled
    """Add a block to `mass`, `overlap` and `sizes`, and write its labels; returns both minima."""
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
        for j in range(clusters):  # without a branch, which the processor could not predict
            near[found] = j
            found += priced[j] <= bound
        best = clusters
        for a in range(found):
            gaps[a] = priced[near[a]] - least
            if best == clusters and gaps[a] == 0.0:
                best = near[a]
        below += add_shares(near, gaps, found, eps, mass, overlap)
        labels[i] = best
        sizes[best] += 1
        value += least
    return value, value - below


@compiled(nogil=True)
def _draw_block(costs, prices, eps, start, labels):  # pragma: no cover - compiled
    for i in range(costs.shape[0]):
        labels[i] = draw(costs[i] + prices, eps, start + i)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Sparse costs of row `i` for the clusters `ids[starts[i]:starts[i + 1]]`; implements `prices.Costs`."""

    starts: np.ndarray  # (n + 1,) int64
    ids: np.ndarray  # (entries,) int32, ascending in each row
    costs: np.ndarray  # (entries,) float32
    clusters: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def from_dense(cls, costs: np.ndarray) -> Candidates:
        """Make all clusters candidates of every row; costs `(n, K)` float32."""
        rows, clusters = costs.shape
        ids = np.tile(np.arange(clusters, dtype=np.int32), rows)
        return cls(np.arange(0, rows * clusters + 1, clusters), ids, costs.reshape(-1), clusters)

    def measure(self, prices: np.ndarray, eps: float, labels: np.ndarray, threads: int) -> Balance:
        """See `prices.Costs.measure`."""
        if len(self) == 0:
            return Balance.zeros(self.clusters)

        def part(start: int, stop: int) -> tuple:
            parts = Balance.zeros(self.clusters)
            sums = parts.mass, parts.overlap, parts.sizes
            starts, found = self.starts[start : stop + 1], labels[start:stop]
            return *sums, *_measure_rows(starts, self.ids, self.costs, prices, eps, found, *sums)

        return Balance(*sum_blocks(part, len(self), threads))

    def draw(self, prices: np.ndarray, eps: float, threads: int) -> np.ndarray:
        """See `prices.Costs.draw`."""
        labels = np.empty(len(self), np.int32)
        run_blocks(
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


@compiled(nogil=True, fastmath=FAST)
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
        below += add_shares(near, gaps, found, eps, mass, overlap)
        labels[i] = best
        sizes[best] += 1
        value += least
    return value, value - below


@compiled(nogil=True)
def _draw_rows(starts, ids, costs, prices, eps, first, labels):  # pragma: no cover - compiled
    for i in range(len(starts) - 1):
        a, b = starts[i], starts[i + 1]
        labels[i] = ids[a + draw(costs[a:b] + prices[ids[a:b]], eps, first + i)]


@compiled(nogil=True)
def _costs_of(starts, ids, costs, labels, found):  # pragma: no cover - compiled
    for i in range(len(starts) - 1):
        for e in range(starts[i], starts[i + 1]):
            if ids[e] == labels[i]:
                found[i] = costs[e]
