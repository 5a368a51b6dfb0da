"""Compiled skew heaps of rows, whose nodes are stored in common arrays.

A skew heap has one operation, the union of two heaps. Push is the union with a heap of one node, pop is the
union of the two subtrees of the root. A heap is the index of its root, -1 if it is empty.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from usrn_keras.clustering.compiled import compiled


class Nodes(NamedTuple):
    """The nodes of all heaps."""

    key: np.ndarray  # float64, the smallest at the root
    row: np.ndarray  # int32
    left: np.ndarray  # int64, -1 if there is none
    right: np.ndarray  # int64, -1 if there is none


@compiled()
def empty_nodes(size):  # pragma: no cover - compiled
    """Allocate `size` nodes."""
    return Nodes(np.empty(size), np.empty(size, np.int32), np.empty(size, np.int64), np.empty(size, np.int64))


@compiled()
def grow(nodes, used, more):  # pragma: no cover - compiled
    """Copy the nodes to larger arrays if `more` nodes do not fit after the first `used`."""
    if used + more <= len(nodes.key):
        return nodes
    longer = empty_nodes(2 * (used + more))
    longer.key[:used] = nodes.key[:used]
    longer.row[:used] = nodes.row[:used]
    longer.left[:used] = nodes.left[:used]
    longer.right[:used] = nodes.right[:used]
    return longer


@compiled()
def union(nodes, a, b):  # pragma: no cover - compiled
    """Merge two heaps; returns the root."""
    key, left, right = nodes.key, nodes.left, nodes.right
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


@compiled()
def push(nodes, root, node, key, row):  # pragma: no cover - compiled
    """Write a new node and add it to the heap; returns the root."""
    nodes.key[node] = key
    nodes.row[node] = row
    nodes.left[node] = -1
    nodes.right[node] = -1
    return union(nodes, root, node)


@compiled()
def pop(nodes, root):  # pragma: no cover - compiled
    """Remove the root of a heap; returns the new root."""
    return union(nodes, nodes.left[root], nodes.right[root])


@compiled()
def pop_moved_rows(nodes, root, labels, cluster):  # pragma: no cover - compiled
    """Pop rows that have left the cluster from the top of the heap; returns the root."""
    while root >= 0 and labels[nodes.row[root]] != cluster:
        root = pop(nodes, root)
    return root


@compiled()
def count_tied(nodes, root, labels, cluster, tie, limit):  # pragma: no cover - compiled
    """Count rows of the cluster, up to `limit`, whose keys are within `tie` of the root, which counts too."""
    bound = nodes.key[root] + tie
    stack = np.empty(2 * limit + 2, np.int64)
    stack[0] = root
    height = 1
    count = 0
    while height > 0 and count < limit:
        height -= 1
        node = stack[height]
        if labels[nodes.row[node]] == cluster:
            count += 1
        for child in (nodes.left[node], nodes.right[node]):
            if child >= 0 and nodes.key[child] <= bound and height < len(stack):
                stack[height] = child
                height += 1
    return max(count, 1)
