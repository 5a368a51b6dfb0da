"""One pass over all rows that labels most of them finally and keeps candidates for the others.

Prices fitted on a sample are uncertain; margins quantify this uncertainty. A row without another cluster
within its margin is assigned to its cheapest cluster. The other rows are *near*: they keep the costs of all
clusters within reach. `slack` is the least cost of the moves that were left out, which bounds the distance of
the labels from an optimum.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from usrn_keras.clustering.compiled import compiled
from usrn_keras.clustering.costs import CUT, FAST, Candidates, DenseCosts, draw, is_kept
from usrn_keras.clustering.lloyd import fill_costs
from usrn_keras.clustering.prices import FINEST, SMOOTHING, BalancedPrices, balance_prices, curvature
from usrn_keras.clustering.rows import BLOCK, map_blocks

SAMPLE = 16_384  # least number of rows that margins are measured on
SAMPLE_PER_CLUSTER = 64  # rows per cluster, if that is more
LARGER_SAMPLE = 65_536  # rows that prices are corrected on
DEVIATIONS = 5.0  # standard deviations of a price difference that are within reach
DAMPING = 1e-6  # damping of the curvature, which is zero for distant clusters
TOLERANCE = 0.001
STEPS = 40


@dataclass(frozen=True, eq=False)
class Margins:
    """Limits of the candidates that a pass over the rows keeps."""

    reach: np.ndarray  # (K, K) float32, largest regret of a move from j to k that is kept
    keep: float  # share of the tied rows that are kept: duplicates have many ties
    eps: float  # smoothing for drawing tied rows; a difference of a few eps is a tie


def unlimited_margins(clusters: int) -> Margins:
    """Margins that keep all clusters as candidates of all rows."""
    return Margins(np.full((clusters, clusters), np.inf, np.float32), 1.0, FINEST)


def measure_margins(
    sample: np.ndarray, centers: np.ndarray, prices: np.ndarray, eps: float, noise: float, entries: float
) -> Margins:
    """Measure the margins for balancing all rows, with at most `entries` candidates per row.

    The prices balance the sample, so the uncertainty of its cluster sizes carries over to them: to first
    order `cov(prices) = H^-1 cov(sizes) H^-1` with the Hessian `H` of the dual. Moves from `j` to `k` are
    kept up to some standard deviations of `prices[k] - prices[j]`.

    Args:
        sample: Sample `(m, features)` float32 in random order.
        centers: Centers `(K, features)` float32.
        prices: Prices `(K,)` float64 that nearly balance the clusters.
        eps: Smoothing for which the sample is balanced; `prices.FINEST` if it is balanced without smoothing.
        noise: Variance of the size of a cluster under the prices, in units of its mean.
        entries: Mean number of candidates per row.
    """
    clusters = len(prices)
    part = sample[: max(SAMPLE, SAMPLE_PER_CLUSTER * clusters)]
    costs = np.empty((len(part), clusters), np.float32)
    fill_costs(part, centers, costs)
    reach = DEVIATIONS * _price_deviations(DenseCosts(costs), prices, noise)
    costs += (prices - prices.min()).astype(np.float32)
    labels = costs.argmin(axis=1)
    costs -= costs[np.arange(len(costs)), labels][:, None]  # costs are regrets from here on
    reach = _limit_reach(reach, costs, labels, entries)
    return Margins(reach.astype(np.float32), _share_of_ties(reach, costs, labels, eps, entries), eps)


def _price_deviations(costs: DenseCosts, prices: np.ndarray, noise: float) -> np.ndarray:
    """Estimate the standard deviation of all differences of two prices, `(K, K)`."""
    clusters = len(prices)
    eps = max(SMOOTHING * costs.typical_gap(prices), FINEST)
    balance = costs.measure(prices, eps, np.empty(len(costs), np.int32), 1)
    hessian = curvature(balance, balance.mass.mean(), DAMPING) / (eps * len(costs))
    # Sizes have the covariance of a multinomial; its common part does not change differences of prices.
    centering = np.eye(clusters) - 1.0 / clusters
    root = np.linalg.solve(hessian, centering) * np.sqrt(noise) / clusters
    covariance = root @ root.T
    variances = np.diag(covariance)
    return np.sqrt(np.maximum(variances[:, None] + variances - 2.0 * covariance, 0.0))


def _limit_reach(reach: np.ndarray, regrets: np.ndarray, labels: np.ndarray, entries: float) -> np.ndarray:
    """Lower the reach to the regrets of smaller shares of the rows of each pair until `entries` is met."""
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
    """Share of the tied rows that can be kept within `entries`."""
    near = regrets <= reach[labels]
    tied = (regrets <= CUT * eps).sum(axis=1) > 1
    room = entries * len(regrets) - near[~tied].sum()
    return float(np.clip(room / max(near[tied].sum(), 1), 0.01, 1.0))


def corrected_prices(
    sample: np.ndarray, centers: np.ndarray, prices: np.ndarray, eps: float, sizes: np.ndarray, threads: int
) -> BalancedPrices:
    """Improve the prices with the sizes `(K,)` that all rows have under `prices` and `eps`.

    The sample gives the change of the sizes with the prices, the pass over all rows gives the sizes.

    Args:
        sample: Sample `(m, features)` float32 in random order.
        centers: Centers `(K, features)` float32.
        prices: Prices `(K,)` float64 of the pass.
        eps: Smoothing of the pass.
        sizes: Sizes of the clusters in the pass, `(K,)`.
        threads: Number of threads; the result does not depend on it.
    """
    part = sample[:LARGER_SAMPLE]
    rows, clusters = len(part), len(prices)
    costs = np.empty((rows, clusters), np.float32)
    fill_costs(part, centers, costs, threads)
    own = DenseCosts(costs).measure(prices, eps, np.empty(rows, np.int32), threads).mass
    shift = sizes * (rows / sizes.sum()) - own  # rows that the sample lacks
    return balance_prices(DenseCosts(costs), prices, shift, tolerance=TOLERANCE, steps=STEPS, threads=threads)


ReadBlock = Callable[[int, int], np.ndarray]  # start, stop -> (rows, features) float32
Report = Callable[[int, float], None]  # rows done, their mean squared distance


@dataclass(frozen=True, eq=False)
class Sweep:
    """Result of one pass over the rows."""

    labels: np.ndarray  # (n,) int32
    near: np.ndarray  # (f,) int64, rows whose label is not final
    costs: Candidates  # costs of the near rows
    slack: np.ndarray  # (K, K) float32, least cost of the moves from j to k that were left out
    inertia: float  # sum of squared distances for these labels

    def fixed(self) -> np.ndarray:
        """Number of rows of each cluster with a final label, `(K,)`."""
        return self.sizes() - np.bincount(self.labels[self.near], minlength=len(self.slack))

    def sizes(self) -> np.ndarray:
        """Number of rows of each cluster, `(K,)`."""
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
    """Label all rows under the prices and keep the candidates of the near rows.

    Args:
        read: Function that reads a block of rows, centered and scaled.
        rows: Number of rows.
        centers: Centers `(K, features)` float32.
        prices: Prices `(K,)` float64.
        margins: Limits of the candidates to keep.
        threads: Number of threads; the result does not depend on it.
        report: Callback after every block.
    """
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
    """Find the cheapest cluster of each row under the prices, `(n,)` int32."""
    labels, priced = np.empty(len(costs), np.int32), np.empty(costs.shape[1], np.float32)
    _label_block(costs, prices.astype(np.float32), priced, labels)
    return labels


@compiled(nogil=True, fastmath=FAST)
def squared_distances(rows, centers, labels):  # pragma: no cover - compiled
    """Sum the squared distances of the rows to the center of their label."""
    total = 0.0
    for i in range(rows.shape[0]):
        center = centers[labels[i]]
        one = np.float32(0.0)
        for f in range(rows.shape[1]):
            one += (rows[i, f] - center[f]) ** 2
        total += one
    return total


@compiled(nogil=True, fastmath=FAST)
def _price(costs, prices, priced):  # pragma: no cover - compiled
    """Write `costs + prices` of a row; returns the first index of the minimum, and the minimum."""
    for j in range(len(priced)):
        priced[j] = costs[j] + prices[j]
    least = priced[0]
    for j in range(1, len(priced)):
        least = min(least, priced[j])
    best = 0
    while priced[best] != least:
        best += 1
    return best, least


@compiled(nogil=True)
def _label_block(costs, prices, priced, labels):  # pragma: no cover - compiled
    for i in range(len(labels)):
        labels[i], _ = _price(costs[i], prices, priced)


@compiled(nogil=True, fastmath=FAST)
def _within(priced, least, reach):  # pragma: no cover - compiled
    """Count the clusters within reach."""
    count = 0
    for k in range(len(priced)):
        count += priced[k] - least <= reach[k]
    return count


@compiled(nogil=True, fastmath=FAST)
def _lower(slack, priced, least):  # pragma: no cover - compiled
    for k in range(len(slack)):
        slack[k] = min(slack[k], priced[k] - least)


@compiled(nogil=True)
def _sweep_block(costs, prices, reach, keep, eps, start, labels, slack):  # pragma: no cover - compiled
    """Label a block and lower `slack`; returns near rows, their numbers of candidates, ids and costs.

    The drawn cluster of a tied row may be slightly more expensive than its cheapest, so a regret can be
    negative.
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
        if count <= 1:  # no other candidate
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
