"""Prices that balance the clusters: the dual of size-constrained assignment.

With one price per cluster, every row goes to `argmin_j cost_ij + price_j`. The prices under which all
clusters receive the same number of rows maximise the concave dual

    D(w) = sum_i min_j (cost_ij + w_j) - n/K * sum_j w_j

(semi-discrete optimal transport). The minimum is smoothed to `-eps * log sum exp(-./eps)`, whose gradient and
Hessian, K numbers and K x K numbers, are sums over rows; so a Newton step needs one pass over the costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

STEP = 4.0  # in units of eps: as far as the quadratic model of the dual is trusted at first
SMOOTHING = 0.1  # of the typical gap between the best and the second best cluster
SHARPEST = 1 / 64  # of the first smoothing: where ties are recognised
FINEST = 2e-6  # smoothing in the unit of the frame: above the rounding of float32
NOISE = 1e-8  # per row, in the unit of the frame: a loss that float32 explains
FLOOR = 0.05  # of the target: an empty cluster has no curvature of its own


@dataclass(frozen=True, eq=False)
class Balance:
    """What one pass over the costs says about a vector of prices; sums over rows."""

    mass: np.ndarray  # (K,) rows per cluster under the smoothed minimum
    overlap: np.ndarray  # (K, K) of p p^T, the lower triangle
    sizes: np.ndarray  # (K,) rows per cluster under the hard minimum
    value: float  # of the hard minimum
    smooth: float  # of the smoothed minimum

    @classmethod
    def nothing(cls, clusters: int) -> Balance:
        """Zeros to add to."""
        return cls(np.zeros(clusters), np.zeros((clusters, clusters)), np.zeros(clusters, np.int64), 0.0, 0.0)


class Costs(Protocol):
    """The costs of rows for clusters, in the unit of the frame."""

    clusters: int

    def __len__(self) -> int:
        """Rows."""

    def measure(self, prices: np.ndarray, eps: float, labels: np.ndarray, threads: int) -> Balance:
        """`Balance` under the prices `(K,)`; the hard labels are written to `labels` `(n,)` int32."""

    def draw(self, prices: np.ndarray, eps: float, threads: int) -> np.ndarray:
        """Labels that split tied rows in the proportions of the smoothed minimum, `(n,)` int32."""

    def typical_gap(self, prices: np.ndarray) -> float:
        """Mean distance between the best and the second best cluster of a row, prices included."""


@dataclass
class Trust:
    """How far a Newton step may go: wider where the dual rose, narrower where it fell."""

    radius: float = STEP  # in units of eps, for any price
    damping: float = 1e-6

    def step(self, balance: Balance, target: np.ndarray, eps: float) -> np.ndarray:
        """Change of the prices towards balance.

        The Hessian of the dual is `(overlap - diag(mass)) / eps`. The damping is a multiple of its diagonal;
        where it is large the step is that of Sinkhorn's algorithm, which is safe far from balance.
        """
        surplus = balance.mass - target
        damping = self.damping + 0.3 * min(1.0, np.abs(surplus).sum() / max(balance.mass.sum(), 1.0))
        step = np.linalg.solve(curvature(balance, target.mean(), damping), surplus)
        return eps * np.clip(step - step.mean(), -self.radius, self.radius)

    def rose(self) -> None:
        self.radius, self.damping = 2.0 * self.radius, max(0.1 * self.damping, 1e-6)

    def fell(self) -> None:
        self.radius, self.damping = 0.25 * self.radius, max(10.0 * self.damping, 0.1)


def curvature(balance: Balance, typical: float, damping: float) -> np.ndarray:
    """`(K, K)` minus `eps` times the Hessian of the dual, damped; `typical` is the mass of a cluster."""
    weight = np.maximum(balance.mass, FLOOR * typical)
    overlap = balance.overlap + np.tril(balance.overlap, -1).T
    return np.diag(weight * (1.0 + damping)) - overlap


@dataclass(frozen=True, eq=False)
class Balanced:
    """Labels of nearly equal cluster sizes and the prices behind them."""

    labels: np.ndarray  # (f,) int32
    prices: np.ndarray  # (K,) float64
    value: float  # of the dual
    eps: float  # of the last pass
    settled: bool  # the tolerance was met
    drawn: bool  # the labels split ties at random; otherwise each row has its cheapest cluster

    @property
    def tied(self) -> float:
        """Smoothing that tied rows are to be drawn with: that of the balance, if it needs one."""
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
) -> Balanced:
    """Prices of nearly equal cluster sizes.

    The smoothing begins at a tenth of the typical gap and is quartered when the smoothed sizes are balanced
    and the hard ones are not. If they never are, many rows are tied (duplicates, say), and ties are drawn.

    Args:
        costs: of the rows that may change their cluster.
        prices: `(K,)` float64 to start from.
        fixed: `(K,)` rows of each cluster that are there beside those.
        tolerance: stop once the mean of `|size - n/K|` is at most this, in units of `n/K`.
        steps: passes over the costs, at least 1.
        sharpest: part of the first smoothing at which rows count as tied.
    """
    rows, clusters = len(costs) + fixed.sum(), len(prices)
    target = rows / clusters - fixed
    allowed = max(tolerance * rows, clusters / 2)  # sizes are whole numbers
    labels = np.empty(len(costs), np.int32)
    eps = max(SMOOTHING * costs.typical_gap(prices), FINEST)
    sharpest = max(sharpest * eps, FINEST)
    here, trust = None, Trust()  # dual, balance and prices to step from

    def found(settled: bool, drawn: bool = False) -> Balanced:
        chosen = costs.draw(prices, eps, threads) if drawn else labels
        return Balanced(chosen, prices, balance.value - float(target @ prices), eps, settled, drawn)

    for _ in range(steps - 1):
        balance = costs.measure(prices, eps, labels, threads)
        if np.abs(balance.sizes - target).sum() <= allowed:
            return found(settled=True)
        dual = balance.smooth - float(target @ prices)
        if here is not None and dual < here[0] - NOISE * rows:
            trust.fell()
            balance, prices = here[1:]
        else:
            if here is not None:
                trust.rose()
            here = dual, balance, prices
        if np.abs(balance.mass - target).sum() <= 0.5 * allowed:
            if eps <= sharpest:
                return found(settled=True, drawn=True)
            eps, here, trust = max(0.25 * eps, sharpest), None, Trust()
        prices = prices + trust.step(balance, target, eps)
    balance = costs.measure(prices, eps, labels, threads)
    return found(settled=bool(np.abs(balance.sizes - target).sum() <= allowed))
