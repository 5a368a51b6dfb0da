"""Prices that balance the clusters: the dual of the size-constrained assignment.

With one price per cluster, every row is assigned to `argmin_j cost_ij + price_j`. The prices for which all
clusters have the same number of rows maximise the concave dual

    D(w) = sum_i min_j (cost_ij + w_j) - n/K * sum_j w_j

(semi-discrete optimal transport). The minimum is smoothed to `-eps * log sum exp(-./eps)`, whose gradient and
Hessian, K numbers and K x K numbers, are sums over rows; so a Newton step needs one pass over the costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

STEP = 4.0  # initial trust radius of the quadratic model of the dual, in units of eps
SMOOTHING = 0.1  # first smoothing, as a share of the typical gap between the best two clusters
SHARPEST = 1 / 64  # share of the first smoothing at which rows count as tied
FINEST = 2e-6  # least smoothing, in the unit of the frame: above the rounding error of float32
NOISE = 1e-8  # loss per row that float32 rounding explains, in the unit of the frame
FLOOR = 0.05  # least mass of a cluster as a share of the target: an empty cluster has no curvature


@dataclass(frozen=True, eq=False)
class Balance:
    """Sums over all rows for a vector of prices, from one pass over the costs."""

    mass: np.ndarray  # (K,) rows per cluster under the smoothed minimum
    overlap: np.ndarray  # (K, K) sum of p p^T, lower triangle
    sizes: np.ndarray  # (K,) rows per cluster under the hard minimum
    value: float  # sum of the hard minimum
    smooth: float  # sum of the smoothed minimum

    @classmethod
    def zeros(cls, clusters: int) -> Balance:
        """Sums over no rows."""
        return cls(np.zeros(clusters), np.zeros((clusters, clusters)), np.zeros(clusters, np.int64), 0.0, 0.0)


class Costs(Protocol):
    """Costs of rows for clusters, in the unit of the frame."""

    clusters: int

    def __len__(self) -> int:
        """Number of rows."""

    def measure(self, prices: np.ndarray, eps: float, labels: np.ndarray, threads: int) -> Balance:
        """Compute the `Balance` for prices `(K,)` and write the hard labels to `labels` `(n,)` int32."""

    def draw(self, prices: np.ndarray, eps: float, threads: int) -> np.ndarray:
        """Draw labels `(n,)` int32 that split tied rows in the proportions of the smoothed minimum."""

    def typical_gap(self, prices: np.ndarray) -> float:
        """Mean difference between the best two clusters of a row, prices included."""


@dataclass
class TrustRegion:
    """Limits a Newton step; it expands if the dual increased and shrinks if the dual decreased."""

    radius: float = STEP  # largest change of a price, in units of eps
    damping: float = 1e-6

    def step(self, balance: Balance, target: np.ndarray, eps: float) -> np.ndarray:
        """Compute the change of the prices.

        The Hessian of the dual is `(overlap - diag(mass)) / eps`. The damping is a multiple of its diagonal.
        With large damping the step is that of Sinkhorn's algorithm, which is safe far from balance.

        Args:
            balance: Balance for the current prices.
            target: Target size of each cluster, `(K,)`.
            eps: Smoothing.
        """
        surplus = balance.mass - target
        damping = self.damping + 0.3 * min(1.0, np.abs(surplus).sum() / max(balance.mass.sum(), 1.0))
        step = np.linalg.solve(curvature(balance, target.mean(), damping), surplus)
        return eps * np.clip(step - step.mean(), -self.radius, self.radius)

    def expand(self) -> None:
        """Allow larger steps after an increase of the dual."""
        self.radius, self.damping = 2.0 * self.radius, max(0.1 * self.damping, 1e-6)

    def shrink(self) -> None:
        """Allow smaller steps only, after a decrease of the dual."""
        self.radius, self.damping = 0.25 * self.radius, max(10.0 * self.damping, 0.1)


def curvature(balance: Balance, typical: float, damping: float) -> np.ndarray:
    """Compute the damped negative Hessian of the dual times `eps`, `(K, K)`.

    Args:
        balance: Balance for the current prices.
        typical: Typical mass of a cluster.
        damping: Damping, relative to the diagonal.
    """
    weight = np.maximum(balance.mass, FLOOR * typical)
    overlap = balance.overlap + np.tril(balance.overlap, -1).T
    return np.diag(weight * (1.0 + damping)) - overlap


@dataclass(frozen=True, eq=False)
class BalancedPrices:
    """Prices of nearly equal cluster sizes, and the labels that follow from them."""

    labels: np.ndarray  # (f,) int32
    prices: np.ndarray  # (K,) float64
    value: float  # value of the dual
    eps: float  # smoothing of the last pass
    converged: bool  # whether the tolerance is met
    drawn: bool  # whether ties are split at random; otherwise each row has its cheapest cluster

    @property
    def tie_smoothing(self) -> float:
        """Smoothing for drawing tied rows: that of the balance if its labels are drawn."""
        return self.eps if self.drawn else FINEST


def balance_prices(
    costs: Costs,
    prices: np.ndarray,
    fixed: np.ndarray,
    *,
    tolerance: float,
    steps: int,
    sharpest: float = SHARPEST,
    threads: int = 1,
) -> BalancedPrices:
    """Find prices of nearly equal cluster sizes.

    The smoothing starts at a tenth of the typical gap and is divided by four while the smoothed sizes are
    balanced and the hard sizes are not. If the hard sizes do not become balanced, many rows are tied (for
    example duplicates), and the labels of tied rows are drawn.

    Args:
        costs: Costs of the rows that may change their cluster.
        prices: Initial prices `(K,)` float64.
        fixed: Number of further rows in each cluster, `(K,)`.
        tolerance: Largest mean of `|size - n/K|`, in units of `n/K`, at which the iteration stops.
        steps: Largest number of passes over the costs, at least 1.
        sharpest: Share of the first smoothing at which rows count as tied.
        threads: Number of threads; the result does not depend on it.
    """
    rows, clusters = len(costs) + fixed.sum(), len(prices)
    target = rows / clusters - fixed
    allowed = max(tolerance * rows, clusters / 2)  # sizes are integers
    labels = np.empty(len(costs), np.int32)
    eps = max(SMOOTHING * costs.typical_gap(prices), FINEST)
    sharpest = max(sharpest * eps, FINEST)
    here, trust = None, TrustRegion()  # `here`: dual, balance and prices of the last accepted step

    def result(converged: bool, drawn: bool = False) -> BalancedPrices:
        chosen = costs.draw(prices, eps, threads) if drawn else labels
        value = balance.value - float(target @ prices)
        return BalancedPrices(chosen, prices, value, eps, converged, drawn)

    for _ in range(steps - 1):
        balance = costs.measure(prices, eps, labels, threads)
        if np.abs(balance.sizes - target).sum() <= allowed:
            return result(converged=True)
        dual = balance.smooth - float(target @ prices)
        if here is not None and dual < here[0] - NOISE * rows:
            trust.shrink()
            balance, prices = here[1:]
        else:
            if here is not None:
                trust.expand()
            here = dual, balance, prices
        if np.abs(balance.mass - target).sum() <= 0.5 * allowed:
            if eps <= sharpest:
                return result(converged=True, drawn=True)
            eps, here, trust = max(0.25 * eps, sharpest), None, TrustRegion()
        prices = prices + trust.step(balance, target, eps)
    balance = costs.measure(prices, eps, labels, threads)
    return result(converged=bool(np.abs(balance.sizes - target).sum() <= allowed))
