"""Prices that balance the clusters: the dual of size-constrained assignment.

With one price per cluster, every row goes to `argmin_j cost_ij + price_j`. The prices under which all
clusters receive the same number of rows maximise the concave dual

    D(w) = sum_i min_j (cost_ij + w_j) - n/K * sum_j w_j

(semi-discrete optimal transport). The minimum is smoothed to `-eps * log sum exp(-./eps)`, whose gradient and
Hessian, K numbers and K x K numbers, are sums over rows; so a Newton step needs one pass over the costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.clustering.rows import for_blocks, sum_blocks

# Everything but `ninf`: infinity stays infinity.
FAST = {"nnan", "nsz", "arcp", "contract", "reassoc"}
CUT = 12.0  # in units of eps: exp(-12) = 6e-6 of a row's mass is left out
MOST_NEAR = 24  # clusters that a row lies between; more are taken to be ties
STEP = 4.0  # in units of eps: the quadratic model of the dual holds no further
SMOOTHING = 0.1  # of the typical gap between the best and the second best cluster
SHARPEST = 1 / 64  # of the first smoothing: where ties are recognised
TINY = 1e-5  # in the unit of the frame: the gap where all rows are tied, above the rounding of float32
GOLDEN = 0.6180339887498949
FLOOR = 0.05  # of the target: an empty cluster has no curvature of its own


@dataclass(frozen=True, eq=False)
class Balance:
    """What one pass over the costs says about a vector of prices."""

    mass: np.ndarray  # (K,) rows per cluster under the smoothed minimum
    overlap: np.ndarray  # (K, K) sum over rows of p p^T
    sizes: np.ndarray  # (K,) rows per cluster under the hard minimum
    value: float  # sum over rows of the hard minimum


@numba.njit(nogil=True, cache=True, fastmath=FAST)
def measure_block(costs, prices, eps, labels, mass, overlap, sizes):  # pragma: no cover - compiled
    """Adds one block of rows to `mass`, `overlap` and `sizes`, writes its labels, returns its value."""
    clusters = costs.shape[1]
    priced = np.empty(clusters, np.float32)
    near = np.empty(clusters, np.int64)
    share = np.empty(clusters, np.float64)
    value = 0.0
    for i in range(costs.shape[0]):
        for j in range(clusters):
            priced[j] = costs[i, j] + prices[j]
        least = priced[0]
        for j in range(1, clusters):
            least = min(least, priced[j])
        bound = least + np.float32(CUT * eps)
        found = 0
        total = 0.0
        best = clusters
        for j in range(clusters):
            if priced[j] <= bound:
                if best == clusters and priced[j] == least:
                    best = j
                near[found] = j
                share[found] = np.exp((least - priced[j]) / eps)
                total += share[found]
                found += 1
        for a in range(found):
            share[a] /= total
            mass[near[a]] += share[a]
            # Without the mixed terms a step is shorter, not wrong; with them duplicates would cost K^2 each.
            for b in range(a + 1 if found <= MOST_NEAR else 0):
                overlap[near[a], near[b]] += share[a] * share[b]
        labels[i] = best
        sizes[best] += 1
        value += least
    return value


def measure(costs: np.ndarray, prices: np.ndarray, eps: float, labels: np.ndarray, threads: int) -> Balance:
    """`Balance` of the prices; the hard labels are written to `labels`.

    Args:
        costs: `(n, K)` float32.
        prices: `(K,)` float64.
        eps: width of the smoothing, in the unit of the costs.
        labels: `(n,)` int32, overwritten.
    """
    clusters = costs.shape[1]
    prices = prices.astype(np.float32)

    def part(start: int, stop: int) -> tuple:
        mass, overlap = np.zeros(clusters), np.zeros((clusters, clusters))
        sizes = np.zeros(clusters, np.int64)
        value = measure_block(costs[start:stop], prices, eps, labels[start:stop], mass, overlap, sizes)
        return mass, overlap, sizes, value

    mass, overlap, sizes, value = sum_blocks(part, len(costs), threads)
    return Balance(mass, overlap + np.tril(overlap, -1).T, sizes, value)


def newton_step(balance: Balance, target: np.ndarray, eps: float) -> np.ndarray:
    """Change of the prices towards balance: damped Newton, at most `STEP * eps` for any price.

    The Hessian of the dual is `(overlap - diag(mass)) / eps`. The damping is a multiple of its diagonal;
    where it is large the step is that of Sinkhorn's algorithm, which is safe far from balance.
    """
    surplus = balance.mass - target
    weight = np.maximum(balance.mass, FLOOR * target.mean())
    damping = 1e-6 + 0.3 * min(1.0, np.abs(surplus).sum() / balance.mass.sum())
    curvature = np.diag(weight * (1.0 + damping)) - balance.overlap
    step = eps * np.linalg.solve(curvature, surplus)
    return np.clip(step - step.mean(), -STEP * eps, STEP * eps)


def typical_gap(costs: np.ndarray, prices: np.ndarray, rows: int = 512) -> float:
    """Mean distance between the best and the second best cluster of a row, prices included.

    Where most rows are tied, a twentieth of the mean distance to all clusters stands in for it.
    """
    priced = np.partition(costs[:rows] + prices, min(1, costs.shape[1] - 1), axis=1)
    gap = (priced[:, -1 if costs.shape[1] == 1 else 1] - priced[:, 0]).mean()
    spread = priced.mean() - priced[:, 0].mean()
    return max(float(gap), 0.05 * float(spread), TINY)


@numba.njit(nogil=True, cache=True)
def draw_block(costs, prices, eps, start, labels):  # pragma: no cover - compiled
    """Draws each label from the smoothed minimum, with the golden ratio sequence as the random numbers."""
    clusters = costs.shape[1]
    weight = np.empty(clusters)
    for i in range(costs.shape[0]):
        least = np.inf
        for j in range(clusters):
            least = min(least, costs[i, j] + prices[j])
        total = 0.0
        for j in range(clusters):
            total += np.exp((least - costs[i, j] - prices[j]) / eps)
            weight[j] = total
        at = (start + i + 1) * GOLDEN % 1.0 * total
        j = 0
        while weight[j] < at:
            j += 1
        labels[i] = j


def draw_labels(costs: np.ndarray, prices: np.ndarray, eps: float, threads: int = 1) -> np.ndarray:
    """Labels that split tied rows in the proportions of the smoothed minimum, `(n,)` int32."""
    labels = np.empty(len(costs), np.int32)
    for_blocks(
        lambda start, stop: draw_block(costs[start:stop], prices, eps, start, labels[start:stop]),
        len(costs),
        threads,
    )
    return labels


@dataclass(frozen=True, eq=False)
class Balanced:
    """Labels of nearly equal cluster sizes and the prices behind them."""

    labels: np.ndarray  # (f,) int32
    prices: np.ndarray  # (K,) float64
    value: float  # of the dual
    eps: float  # of the last pass
    settled: bool  # the tolerance was met
    drawn: bool  # the labels split ties at random; otherwise each row has its cheapest cluster


def balance_prices(
    costs: np.ndarray,
    prices: np.ndarray,
    fixed: np.ndarray,
    *,
    tolerance: float,
    steps: int,
    sharpest: float = SHARPEST,
    threads: int = 1,
) -> Balanced:
    """Prices of nearly equal cluster sizes.

    The smoothing begins at a tenth of the typical gap and is quartered when the smoothed sizes are balanced
    and the hard ones are not. If they never are, many rows are tied (duplicates, say), and ties are drawn.

    Args:
        costs: `(f, K)` float32, of the rows that may change their cluster.
        prices: `(K,)` float64 to start from.
        fixed: `(K,)` rows of each cluster that stay there.
        tolerance: stop once the mean of `|size - n/K|` is at most this, in units of `n/K`.
        steps: passes over the costs, at least 1.
        sharpest: part of the first smoothing at which rows count as tied.
    """
    rows = len(costs) + int(fixed.sum())
    target = rows / len(prices) - fixed
    labels = np.empty(len(costs), np.int32)
    eps = SMOOTHING * typical_gap(costs, prices)
    sharpest *= eps
    for step in range(1, steps + 1):
        balance = measure(costs, prices, eps, labels, threads)
        value = balance.value - float(target @ prices)
        if np.abs(balance.sizes - target).sum() <= tolerance * rows:
            return Balanced(labels, prices, value, eps, settled=True, drawn=False)
        if np.abs(balance.mass - target).sum() <= 0.5 * tolerance * rows:
            if eps <= sharpest:
                labels = draw_labels(costs, prices, eps, threads)
                return Balanced(labels, prices, value, eps, settled=True, drawn=True)
            eps *= 0.25
        if step < steps:
            prices = prices + newton_step(balance, target, eps)
    return Balanced(labels, prices, value, eps, settled=False, drawn=False)
