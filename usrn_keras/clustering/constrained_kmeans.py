"""Clusters of equal size by the package k-means-constrained, whose every assignment is exact."""

from __future__ import annotations

import numpy as np

# At 256 channels and 40 clusters 10,000 rows take 10 s; 50,000 take more than 5 minutes.
MAX_ROWS = 20_000


def constrained_kmeans(
    rows: np.ndarray, n_clusters: int, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, float]:
    """Cluster rows by k-means-constrained: each assignment step is solved as a minimum-cost flow.

    Independent of `BalancedKMeans`, and thus a check of it. It minimizes the sum of distances in an
    assignment, `BalancedKMeans` that of squared distances; both give sizes that differ by at most 1.

    Args:
        rows: Features, `(rows, channels)` float, at most `MAX_ROWS` rows.
        n_clusters: Number of clusters, at most the number of rows.
        seed: Seed of the initial centers.

    Returns:
        Cluster of each row `(rows,)` int32, centers `(n_clusters, channels)` float32, and the inertia: the
        sum of squared distances of the rows to the centers of their clusters.

    Raises:
        ValueError: There are more than `MAX_ROWS` rows.

    Example:

    >>> rows = np.array([[0.0], [0.1], [0.2], [9.0]])
    >>> labels, centers, inertia = constrained_kmeans(rows, 2)
    >>> np.bincount(labels).tolist()
    [2, 2]
    """
    from k_means_constrained import KMeansConstrained  # takes a second to import

    if len(rows) > MAX_ROWS:
        raise ValueError(f"`rows` must hold at most {MAX_ROWS} rows, received {len(rows)}")
    sizes = {"size_min": len(rows) // n_clusters, "size_max": -(-len(rows) // n_clusters)}
    wide = np.asarray(rows, np.float64)
    found = KMeansConstrained(n_clusters, **sizes, n_init=1, random_state=seed).fit(wide)
    # Its own inertia is a sum of distances that are not squared.
    inertia = float(((wide - found.cluster_centers_[found.labels_]) ** 2).sum())
    return found.labels_, found.cluster_centers_.astype(np.float32), inertia
