"""Make cluster sizes exact by the cheapest moves from nearly balanced labels.

The clusters are the nodes of a graph. The edge `j -> k` has the least cost increase of moving a row from `j`
to `k`. Rows move from clusters with a surplus to clusters with a deficit along successive shortest paths. The
prices are the potentials of these paths: if every row starts in its cheapest cluster under the prices, the
result is an optimum of the size-constrained assignment.

Sizes are `floor(n/K)`, and `n mod K` clusters have one extra row. The choice of these clusters is part of the
optimum: a further node of the graph, the slot, represents the extra rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.clustering.compiled import compiled
from usrn_keras.clustering.costs import Candidates
from usrn_keras.clustering.heaps import count_tied, empty_nodes, grow, pop, pop_moved_rows, push

TIE = 1e-6  # largest cost difference of rows that move together, in the unit of the frame
LARGEST_GROUP = 1024  # largest number of rows that move together


@dataclass(frozen=True, eq=False)
class Repaired:
    """Labels of exact cluster sizes and their prices."""

    labels: np.ndarray  # (n,) int32
    prices: np.ndarray  # (K,) float64
    feasible: bool  # False if the available rows and moves could not fill a cluster


def repair(
    costs: Candidates,
    labels: np.ndarray,
    prices: np.ndarray,
    fixed: np.ndarray,
    reach: np.ndarray,
    most_tied: int,
) -> Repaired:
    """Move rows until all clusters have `floor(n/K)` or `ceil(n/K)` rows.

    If the prices change by less than `reach`, the result is an optimum.

    Args:
        costs: Costs of the rows that may move.
        labels: Cheapest cluster of each row under the prices, `(f,)` int32.
        prices: Prices `(K,)` float64.
        fixed: Number of rows of each cluster that may not move, `(K,)`.
        reach: Largest cost under the prices of the moves out of each cluster that are considered, `(K,)`.
        most_tied: Largest number of moves from `j` to `k` of cost `reach[j]` that are considered:
            duplicates have many such moves.
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


@compiled()
def shortest_path(cheapest, potentials, surplus, distance, parent):  # pragma: no cover - compiled
    """Run Dijkstra from all clusters with a surplus to the nearest with a deficit; returns it, or -1."""
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
                # Rounding could make an edge negative.
                step = max(0.0, cheapest[u, v] + potentials[v] - potentials[u])
                if distance[u] + step < distance[v]:
                    distance[v] = distance[u] + step
                    parent[v] = u


@compiled()
def path_to(target, parent):  # pragma: no cover - compiled
    """List the nodes of the path from its end to its start."""
    path = [target]
    while parent[path[-1]] >= 0:
        path.append(parent[path[-1]])
    return np.array(path)


@compiled()
def add_to_heaps(
    rows, starts, ids, costs, labels, start, reach, room, roots, nodes, used
):  # pragma: no cover - compiled
    """Add rows to the heaps of their cluster; returns the nodes and the number of used nodes."""
    for i in rows:
        nodes = grow(nodes, used, starts[i + 1] - starts[i])
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


@compiled()
def update_edges(clusters, labels, extra, roots, nodes, cheapest):  # pragma: no cover - compiled
    """Update the costs of the edges out of some clusters, and between them and the slot."""
    slot = len(extra)
    for j in clusters:
        for k in range(len(extra)):
            roots[j, k] = pop_moved_rows(nodes, roots[j, k], labels, j)
            cheapest[j, k] = nodes.key[roots[j, k]] if roots[j, k] >= 0 else np.inf
        cheapest[j, slot] = np.inf if extra[j] else 0.0
        cheapest[slot, j] = 0.0 if extra[j] else np.inf


@compiled()
def count_tied_on_path(path, labels, limit, roots, nodes):  # pragma: no cover - compiled
    """Count the rows that can take the path at the same cost, up to `limit`, to move duplicates together."""
    slot = len(roots)
    for step in range(len(path) - 1):
        k, j = path[step], path[step + 1]
        if j == slot or k == slot:
            return 1
        limit = count_tied(nodes, roots[j, k], labels, j, TIE, limit)
    return limit


@compiled()
def move_along_path(path, amount, labels, extra, roots, nodes):  # pragma: no cover - compiled
    """Move the cheapest `amount` rows along every edge of the path; returns the moved rows."""
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
                top = pop_moved_rows(nodes, roots[j, k], labels, j)
                moved.append(nodes.row[top])
                labels[nodes.row[top]] = k
                roots[j, k] = pop(nodes, top)
    return np.array(moved)


@compiled()
def move_rows(
    starts, ids, costs, labels, potentials, surplus, extra, reach, most_tied
):  # pragma: no cover - compiled
    """Run successive shortest paths; updates labels, potentials, surplus and extra in place.

    `roots[j, k]` is a heap of the rows of `j` by their cost increase in `k`. Rows that have left `j` are
    removed when they reach the top. Returns whether all sizes are exact.
    """
    clusters = len(surplus)
    start = potentials.copy()
    roots = np.full((clusters, clusters), -1, np.int64)
    cheapest = np.full((clusters + 1, clusters + 1), np.inf)
    distance = np.empty(clusters + 1)
    parent = np.empty(clusters + 1, np.int64)
    room = np.full((clusters, clusters), most_tied)
    all_rows = np.arange(len(labels))
    nodes, used = add_to_heaps(
        all_rows, starts, ids, costs, labels, start, reach, room, roots, empty_nodes(1024), 0
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
        amount = count_tied_on_path(path, labels, limit, roots, nodes)
        surplus[source] -= amount
        surplus[target] += amount
        moved = move_along_path(path, amount, labels, extra, roots, nodes)
        nodes, used = add_to_heaps(moved, starts, ids, costs, labels, start, reach, room, roots, nodes, used)
        update_edges(path[path < clusters], labels, extra, roots, nodes, cheapest)
    return True
