"""Exact cluster sizes: the cheapest moves that lead from nearly balanced to balanced labels.

The clusters are the nodes of a graph. The edge `j -> k` costs what the cheapest row of `j` would pay more in `k`;
rows flow from clusters with too many to clusters with too few along successive shortest paths. The prices
are the potentials of these paths: as long as every row starts in its cheapest cluster under them, the result
is an optimum of the size-constrained assignment.

Sizes are `floor(n/K)`, and `n mod K` clusters get one row more. Which ones is part of the optimum: a further
node of the graph, the slot, stands for the extra rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

TIE = 1e-6  # in the unit of the frame: rows this close are moved together
LARGEST_GROUP = 1024  # rows moved at once


@dataclass(frozen=True, eq=False)
class Repaired:
    """Labels of exact sizes and the prices they belong to."""

    labels: np.ndarray  # (n,) int32
    prices: np.ndarray  # (K,) float64
    feasible: bool  # False: some cluster could not be filled with the rows and moves at hand
    shift: float  # by how much any price has moved against any other


def repair(
    costs: np.ndarray, labels: np.ndarray, prices: np.ndarray, fixed: np.ndarray, reach: float = np.inf
) -> Repaired:
    """Moves rows until all clusters hold `floor(n/K)` or `ceil(n/K)` rows.

    Args:
        costs: `(f, K)` float32, of the rows that may move.
        labels: `(f,)` int32, the cheapest cluster of each row under the prices.
        prices: `(K,)` float64.
        fixed: `(K,)` rows of each cluster that may not move.
        reach: moves that cost more than this under the given prices are left out. If `shift <= reach` at
            the end, leaving them out has changed nothing.
    """
    clusters = len(prices)
    sizes = fixed + np.bincount(labels, minlength=clusters)
    least, extras = divmod(int(sizes.sum()), clusters)
    extra = np.zeros(clusters, np.bool_)
    extra[np.argsort(-prices, kind="stable")[:extras]] = True
    slot = prices[extra].min() if extras else prices.max()
    potentials = np.append(prices, slot)
    labels = labels.copy()
    feasible = move_rows(costs, labels, potentials, sizes - least - extra, extra, reach)
    change = potentials[:clusters] - prices
    return Repaired(labels, potentials[:clusters], feasible, float(np.ptp(change)))


@numba.njit(cache=True)
def merge(key, left, right, a, b):  # pragma: no cover - compiled
    """Root of the union of two skew heaps."""
    if a < 0:
        return b
    if b < 0:
        return a
    if key[b] < key[a]:
        a, b = b, a
    root = a
    while True:
        rest = right[a]
        right[a] = left[a]
        if rest < 0:
            left[a] = b
            return root
        if key[b] < key[rest]:
            rest, b = b, rest
        left[a] = rest
        a = rest


@numba.njit(cache=True)
def grown(array, size):  # pragma: no cover - compiled
    """The array, copied to at least `size` places when it has fewer."""
    if len(array) >= size:
        return array
    longer = np.empty(max(size, 2 * len(array)), array.dtype)
    longer[: len(array)] = array
    return longer


@numba.njit(cache=True)
def shortest_path(cheapest, potentials, surplus, distance, parent):  # pragma: no cover - compiled
    """Dijkstra from all clusters with a surplus to the nearest one with a deficit, -1 if there is none."""
    nodes = len(potentials)
    done = np.zeros(nodes, np.bool_)
    for v in range(nodes):
        parent[v] = -1
        distance[v] = 0.0 if v < len(surplus) and surplus[v] > 0 else np.inf
    while True:
        u = -1
        for v in range(nodes):
            if not done[v] and distance[v] < np.inf and (u < 0 or distance[v] < distance[u]):
                u = v
        if u < 0 or (u < len(surplus) and surplus[u] < 0):
            return u
        done[u] = True
        for v in range(nodes):
            if not done[v] and cheapest[u, v] < np.inf:
                # Rounding must not make an edge negative.
                step = max(0.0, cheapest[u, v] + potentials[v] - potentials[u])
                if distance[u] + step < distance[v]:
                    distance[v] = distance[u] + step
                    parent[v] = u


@numba.njit(cache=True)
def tied_rows(root, limit, source, key, row, left, right, labels):  # pragma: no cover - compiled
    """How many rows at the top of a heap cost the same, at most `limit`, at least 1."""
    bound = key[root] + TIE
    stack = np.empty(2 * LARGEST_GROUP, np.int64)
    stack[0] = root
    height = 1
    count = 0
    while height > 0 and count < limit:
        height -= 1
        node = stack[height]
        if labels[row[node]] == source:
            count += 1
        for child in (left[node], right[node]):
            if child >= 0 and key[child] <= bound and height < len(stack):
                stack[height] = child
                height += 1
    return max(count, 1)


@numba.njit(cache=True)
def move_rows(costs, labels, potentials, surplus, extra, reach):  # pragma: no cover - compiled
    """Successive shortest paths; changes labels, potentials, surplus and extra in place.

    `roots[j, k]` is a heap of the rows of `j` by what they would pay more in `k`. Rows that have left `j` are
    dropped when they come to the top.
    """
    clusters = costs.shape[1]
    slot = clusters
    start = potentials.copy()
    roots = np.full((clusters, clusters), -1, np.int64)
    cheapest = np.full((clusters + 1, clusters + 1), np.inf)
    distance = np.empty(clusters + 1)
    parent = np.empty(clusters + 1, np.int64)
    key = np.empty(1024)
    row = np.empty(1024, np.int32)
    left = np.empty(1024, np.int32)
    right = np.empty(1024, np.int32)
    used = 0
    arrivals = np.arange(len(labels))
    touched = np.arange(clusters)
    while True:
        # Put the rows that have arrived somewhere into the heaps of their new cluster.
        for i in arrivals:
            j = labels[i]
            key = grown(key, used + clusters)
            row = grown(row, used + clusters)
            left = grown(left, used + clusters)
            right = grown(right, used + clusters)
            base = np.float64(costs[i, j])
            for k in range(clusters):
                more = costs[i, k] - base
                if k != j and more + start[k] - start[j] <= reach:
                    key[used] = more
                    row[used] = i
                    left[used] = -1
                    right[used] = -1
                    roots[j, k] = merge(key, left, right, roots[j, k], used)
                    used += 1
        for j in touched:
            for k in range(clusters):
                top = roots[j, k]
                while top >= 0 and labels[row[top]] != j:
                    top = merge(key, left, right, left[top], right[top])
                roots[j, k] = top
                cheapest[j, k] = key[top] if top >= 0 else np.inf
            cheapest[j, slot] = np.inf if extra[j] else 0.0
            cheapest[slot, j] = 0.0 if extra[j] else np.inf

        if not np.any(surplus > 0):
            return True
        target = shortest_path(cheapest, potentials, surplus, distance, parent)
        if target < 0:
            return False
        for v in range(clusters + 1):
            potentials[v] -= min(distance[v], distance[target])

        # As many rows as the ends need and as are tied on every edge.
        path = [target]
        while parent[path[-1]] >= 0:
            path.append(parent[path[-1]])
        amount = min(surplus[path[-1]], -surplus[target], LARGEST_GROUP)
        for step in range(len(path) - 1):
            k, j = path[step], path[step + 1]
            if j == slot or k == slot:
                amount = 1
            else:
                amount = tied_rows(roots[j, k], amount, j, key, row, left, right, labels)

        surplus[path[-1]] -= amount
        surplus[target] += amount
        arrivals = np.empty(amount * (len(path) - 1), np.int64)
        moved = 0
        for step in range(len(path) - 1):
            k, j = path[step], path[step + 1]
            if k == slot:
                extra[j] = True
            elif j == slot:
                extra[k] = False
            else:
                for _ in range(amount):
                    top = roots[j, k]
                    while labels[row[top]] != j:
                        top = merge(key, left, right, left[top], right[top])
                    arrivals[moved] = row[top]
                    moved += 1
                    labels[row[top]] = k
                    roots[j, k] = merge(key, left, right, left[top], right[top])
        arrivals = arrivals[:moved]
        touched = np.array([v for v in path if v != slot])
