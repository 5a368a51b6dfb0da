"""Exact cluster sizes: the cheapest moves that lead from nearly balanced to balanced labels.

The clusters are the nodes of a graph. The edge `j -> k` costs what the cheapest row of `j` would pay more in
`k`; rows flow from clusters with too many to clusters with too few along successive shortest paths. The
prices are the potentials of these paths: as long as every row starts in its cheapest cluster under them, the
result is an optimum of the size-constrained assignment.

Sizes are `floor(n/K)`, and `n mod K` clusters get one row more. Which ones is part of the optimum: a further
node of the graph, the slot, stands for the extra rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from usrn_keras.clustering.costs import Candidates
from usrn_keras.clustering.heaps import count_tied, drop_strangers, empty_nodes, pop, push, with_room

TIE = 1e-6  # in the unit of the frame: rows this close are moved together
LARGEST_GROUP = 1024  # rows moved at once


@dataclass(frozen=True, eq=False)
class Repaired:
    """Labels of exact sizes and the prices they belong to."""

    labels: np.ndarray  # (n,) int32
    prices: np.ndarray  # (K,) float64
    feasible: bool  # False: some cluster could not be filled with the rows and moves at hand


def repair(
    costs: Candidates,
    labels: np.ndarray,
    prices: np.ndarray,
    fixed: np.ndarray,
    reach: np.ndarray,
    most_tied: int,
) -> Repaired:
    """Moves rows until all clusters hold `floor(n/K)` or `ceil(n/K)` rows.

    If the prices change by less than `reach` on the way, the result is an optimum.

    Args:
        costs: of the rows that may move.
        labels: `(f,)` int32, the cheapest cluster of each row under the prices.
        prices: `(K,)` float64.
        fixed: `(K,)` rows of each cluster that may not move.
        reach: `(K,)`; moves out of `j` are left out where they cost more than `reach[j]` under the prices.
        most_tied: of the moves from `j` to `k` that cost just `reach[j]`, so many are kept: duplicates have
            plenty.
    """
    clusters = len(prices)
    sizes = fixed + np.bincount(labels, minlength=clusters)
    least, extras = divmod(int(sizes.sum()), clusters)
    extra = np.zeros(clusters, np.bool_)
    extra[np.argsort(-prices, kind="stable")[:extras]] = True
    slot = prices[extra].min() if extras else prices.max()
    potentials = np.append(prices, slot)
    labels = labels.copy()
    surplus = sizes - least - extra
    feasible = move_rows(
        costs.starts, costs.ids, costs.costs, labels, potentials, surplus, extra, reach, most_tied
    )
    return Repaired(labels, potentials[:clusters], feasible)


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
def path_to(target, parent):  # pragma: no cover - compiled
    """Nodes of the path from its end back to its beginning."""
    path = [target]
    while parent[path[-1]] >= 0:
        path.append(parent[path[-1]])
    return np.array(path)


@numba.njit(cache=True)
def file_rows(
    rows, starts, ids, costs, labels, start, reach, room, roots, nodes, used
):  # pragma: no cover - compiled
    """Puts rows into the heaps of their cluster; returns the nodes and how many are used."""
    for i in rows:
        nodes = with_room(nodes, used, starts[i + 1] - starts[i])
        j = labels[i]
        base = np.inf
        for e in range(starts[i], starts[i + 1]):
            if ids[e] == j:
                base = np.float64(costs[e])
        for e in range(starts[i], starts[i + 1]):
            k = ids[e]
            more = costs[e] - base
            beyond = more + start[k] - start[j] - reach[j]
            if k == j or beyond > TIE:
                continue
            if beyond < -TIE or room[j, k] > 0:
                room[j, k] -= beyond >= -TIE
                roots[j, k] = push(nodes, roots[j, k], used, more, i)
                used += 1
    return nodes, used


@numba.njit(cache=True)
def update_edges(clusters, labels, extra, roots, nodes, cheapest):  # pragma: no cover - compiled
    """Costs of the edges out of some clusters, and between them and the slot."""
    slot = len(extra)
    for j in clusters:
        for k in range(len(extra)):
            roots[j, k] = drop_strangers(nodes, roots[j, k], labels, j)
            cheapest[j, k] = nodes.key[roots[j, k]] if roots[j, k] >= 0 else np.inf
        cheapest[j, slot] = np.inf if extra[j] else 0.0
        cheapest[slot, j] = 0.0 if extra[j] else np.inf


@numba.njit(cache=True)
def tied_on_path(path, labels, limit, roots, nodes):  # pragma: no cover - compiled
    """Rows that can take the path at the same cost, at most `limit`: one by one, duplicates would crawl."""
    slot = len(roots)
    for step in range(len(path) - 1):
        k, j = path[step], path[step + 1]
        if j == slot or k == slot:
            return 1
        limit = count_tied(nodes, roots[j, k], labels, j, TIE, limit)
    return limit


@numba.njit(cache=True)
def send(path, amount, labels, extra, roots, nodes):  # pragma: no cover - compiled
    """Moves the cheapest `amount` rows over every edge of the path; returns the moved rows."""
    slot = len(roots)
    moved = []
    for step in range(len(path) - 1):
        k, j = path[step], path[step + 1]
        if k == slot:
            extra[j] = True
        elif j == slot:
            extra[k] = False
        else:
            for _ in range(amount):
                top = drop_strangers(nodes, roots[j, k], labels, j)
                moved.append(nodes.row[top])
                labels[nodes.row[top]] = k
                roots[j, k] = pop(nodes, top)
    return np.array(moved)


@numba.njit(cache=True)
def move_rows(
    starts, ids, costs, labels, potentials, surplus, extra, reach, most_tied
):  # pragma: no cover - compiled
    """Successive shortest paths; changes labels, potentials, surplus and extra in place.

    `roots[j, k]` is a heap of the rows of `j` by what they would pay more in `k`. Rows that have left `j` are
    dropped when they come to the top.
    """
    clusters = len(surplus)
    start = potentials.copy()
    roots = np.full((clusters, clusters), -1, np.int64)
    cheapest = np.full((clusters + 1, clusters + 1), np.inf)
    distance = np.empty(clusters + 1)
    parent = np.empty(clusters + 1, np.int64)
    room = np.full((clusters, clusters), most_tied)
    everyone = np.arange(len(labels))
    nodes, used = file_rows(
        everyone, starts, ids, costs, labels, start, reach, room, roots, empty_nodes(1024), 0
    )
    update_edges(np.arange(clusters), labels, extra, roots, nodes, cheapest)
    while np.any(surplus > 0):
        target = shortest_path(cheapest, potentials, surplus, distance, parent)
        if target < 0:
            return False
        potentials -= np.minimum(distance, distance[target])
        path = path_to(target, parent)
        source = path[-1]
        limit = min(surplus[source], -surplus[target], LARGEST_GROUP)
        amount = tied_on_path(path, labels, limit, roots, nodes)
        surplus[source] -= amount
        surplus[target] += amount
        moved = send(path, amount, labels, extra, roots, nodes)
        nodes, used = file_rows(moved, starts, ids, costs, labels, start, reach, room, roots, nodes, used)
        update_edges(path[path < clusters], labels, extra, roots, nodes, cheapest)
    return True
