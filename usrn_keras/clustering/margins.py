"""Which rows may still change their cluster: how uncertain prices are that were fitted on a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.clustering.dense import DenseCosts
from usrn_keras.clustering.lloyd import fill_costs
from usrn_keras.clustering.prices import FINEST, SMOOTHING, Balanced, balance_prices, curvature
from usrn_keras.clustering.smoothed import CUT

SAMPLE = 16_384  # rows that margins are measured on, or
SAMPLE_PER_CLUSTER = 64  # as many where that is more
LARGER_SAMPLE = 65_536  # rows that prices are corrected on
DEVIATIONS = 5.0  # standard deviations of a price difference that are within reach
DAMPING = 1e-6  # of the curvature: clusters apart have none
TOLERANCE = 0.001
STEPS = 40


@dataclass(frozen=True, eq=False)
class Margins:
    """What a pass over the rows keeps as candidates."""

    reach: np.ndarray  # (K, K) float32, the largest regret of a move from j to k that is kept
    keep: float  # share of the tied rows that are kept: duplicates have plenty
    eps: float  # smoothing that tied rows are drawn with; a lead of some eps is a tie


def everything(clusters: int) -> Margins:
    """All clusters are candidates of all rows."""
    return Margins(np.full((clusters, clusters), np.inf, np.float32), 1.0, FINEST)


def measure_margins(
    sample: np.ndarray, centers: np.ndarray, prices: np.ndarray, eps: float, noise: float, entries: float
) -> Margins:
    """Margins with at most `entries` candidates per row that hold what balancing all rows needs.

    The prices balance the sample, so they are uncertain as the sizes of its clusters are: to first order
    `cov(prices) = H^-1 cov(sizes) H^-1` with the Hessian `H` of the dual. Moves from `j` to `k` are kept up
    to some standard deviations of `prices[k] - prices[j]`.

    Args:
        sample: `(m, features)` float32, in random order.
        centers: `(K, features)` float32.
        prices: `(K,)` float64, nearly balancing.
        eps: smoothing under which the sample is balanced; `prices.FINEST` if it is without one.
        noise: variance of the size of a cluster under them, in units of its mean.
        entries: mean over all rows.
    """
    clusters = len(prices)
    part = sample[: max(SAMPLE, SAMPLE_PER_CLUSTER * clusters)]
    costs = np.empty((len(part), clusters), np.float32)
    fill_costs(part, centers, costs)
    reach = DEVIATIONS * _price_deviations(DenseCosts(costs), prices, noise)
    costs += (prices - prices.min()).astype(np.float32)
    labels = costs.argmin(axis=1)
    costs -= costs[np.arange(len(costs)), labels][:, None]  # now regrets
    reach = _within_room(reach, costs, labels, entries)
    return Margins(reach.astype(np.float32), _share_of_ties(reach, costs, labels, eps, entries), eps)


def _price_deviations(costs: DenseCosts, prices: np.ndarray, noise: float) -> np.ndarray:
    """Standard deviation of all differences of two prices, `(K, K)`."""
    clusters = len(prices)
    eps = max(SMOOTHING * costs.typical_gap(prices), FINEST)
    balance = costs.measure(prices, eps, np.empty(len(costs), np.int32), 1)
    hessian = curvature(balance, balance.mass.mean(), DAMPING) / (eps * len(costs))
    # The covariance of sizes is that of a multinomial: without the common part, which moves no difference.
    centering = np.eye(clusters) - 1.0 / clusters
    root = np.linalg.solve(hessian, centering) * np.sqrt(noise) / clusters
    covariance = root @ root.T
    variances = np.diag(covariance)
    return np.sqrt(np.maximum(variances[:, None] + variances - 2.0 * covariance, 0.0))


def _within_room(reach: np.ndarray, regrets: np.ndarray, labels: np.ndarray, entries: float) -> np.ndarray:
    """The reach, lowered to the regrets of ever smaller shares of each pair's rows until there is room."""
    order = np.argsort(labels, kind="stable")
    groups = np.split(regrets[order], np.cumsum(np.bincount(labels, minlength=len(reach)))[:-1])
    groups = [np.sort(group, axis=0) for group in groups]
    share = 0.5
    while share > 1e-4:
        used = sum((group <= limit).sum() for group, limit in zip(groups, reach, strict=True))
        if used <= entries * len(regrets):
            break
        for j, group in enumerate(groups):
            if len(group):
                reach[j] = np.minimum(reach[j], group[int(share * len(group))])
        share *= 0.7
    return reach


def _share_of_ties(
    reach: np.ndarray, regrets: np.ndarray, labels: np.ndarray, eps: float, entries: float
) -> float:
    """How many of the rows without a lead there is room for."""
    near = regrets <= reach[labels]
    tied = (regrets <= CUT * eps).sum(axis=1) > 1
    room = entries * len(regrets) - near[~tied].sum()
    return float(np.clip(room / max(near[tied].sum(), 1), 0.01, 1.0))


def corrected_prices(
    sample: np.ndarray, centers: np.ndarray, prices: np.ndarray, eps: float, sizes: np.ndarray, threads: int
) -> Balanced:
    """Prices that balance all rows better, from the sizes `(K,)` that all rows have under `prices` and `eps`.

    The sample tells how sizes change with the prices, all rows told what the sizes are.
    """
    part = sample[:LARGER_SAMPLE]
    rows, clusters = len(part), len(prices)
    costs = np.empty((rows, clusters), np.float32)
    fill_costs(part, centers, costs, threads)
    own = DenseCosts(costs).measure(prices, eps, np.empty(rows, np.int32), threads).mass
    shift = sizes * (rows / sizes.sum()) - own  # what the sample has too few of
    return balance_prices(DenseCosts(costs), prices, shift, tolerance=TOLERANCE, steps=STEPS, threads=threads)
