"""One pass over all rows: it labels most of them for good and keeps the candidates of the others.

Prices that were fitted on a sample are uncertain, and the margins say by how much. A row that has no other
cluster within reach of its margin keeps its cheapest cluster. The others are *near*: they keep the costs of
all clusters within reach. What is left out is remembered in `slack`, so that it is known how far from an
optimum the labels can be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.clustering.costs import CUT, FAST, Candidates, DenseCosts, draw, is_kept
from usrn_keras.clustering.lloyd import fill_costs
from usrn_keras.clustering.prices import FINEST, SMOOTHING, Balanced, balance_prices, curvature
from usrn_keras.clustering.rows import BLOCK, map_blocks

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
