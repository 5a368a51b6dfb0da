"""Clusters of equal size by the package k-means-constrained, whose every assignment is exact.

The package minimizes the sum of distances in an assignment, not of squared distances, and rounds a distance
to a thousandth. An assignment is a minimum-cost flow over all pairs of a row and a cluster: 10,000 rows of
256 channels take 9 to 12 s for 40 clusters, 50,000 more than 5 minutes. So it clusters a sample where there
are many rows, and `assign_rows` assigns all of them to its centers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from usrn_keras.clustering.assignment import assign_rows
from usrn_keras.clustering.lloyd import Solution, final_prices
from usrn_keras.clustering.prices import FINEST
from usrn_keras.clustering.rows import draw_sample, frame_block
from usrn_keras.errors import BackendError

MAX_ROWS = 20_000  # most rows that are clustered without a sample
SAMPLE_ROWS = 10_000  # rows of a sample
MISSING_HINT = 'pip install k-means-constrained, or choose subclasses.engine = "balanced_kmeans"'


@dataclass(frozen=True, eq=False)
class ConstrainedClusters:
    """Clusters of equal size.

    Attributes:
        labels: Cluster of each row, `(n,)` int32.
        centers: Centers `(K, channels)` float32.
        prices: Prices `(K,)` float64 as `BalancedKMeans.prices_`; zeros if no sample was drawn.
        inertia: Sum of squared distances of all rows to the center of their cluster.
    """

    labels: np.ndarray
    centers: np.ndarray
    prices: np.ndarray
    inertia: float


def constrained_kmeans(
    rows: np.ndarray, n_clusters: int, *, sample_rows: int = 0, seed: int = 0, n_jobs: int | None = None
) -> ConstrainedClusters:
    """Cluster rows by k-means-constrained; sizes differ by at most 1.

    Up to `MAX_ROWS` rows are clustered by the package alone. Of more rows, it clusters a random sample, and
    all rows are assigned to the centers with exact sizes as in `BalancedKMeans`, which minimizes the sum of
    squared distances.

    Args:
        rows: Features, `(rows, channels)` float, which may be memory-mapped.
        n_clusters: Number of clusters, at most the number of rows.
        sample_rows: Rows of the sample; 0 for `SAMPLE_ROWS`. Not used up to `MAX_ROWS` rows.
        seed: Seed of the initial centers and of the sample.
        n_jobs: Number of threads of the assignment to the centers of a sample, as in joblib.

    Raises:
        BackendError: The package k-means-constrained is not installed.

    Example:

    >>> rows = np.array([[0.0], [0.1], [0.2], [9.0]])
    >>> np.bincount(constrained_kmeans(rows, 2).labels).tolist()
    [2, 2]
    """
    if len(rows) <= MAX_ROWS:
        wide = np.asarray(rows, np.float64)
        found = _fit(wide, n_clusters, seed)
        # Its own inertia is a sum of distances that are not squared.
        inertia = float(((wide - found.cluster_centers_[found.labels_]) ** 2).sum())
        centers = found.cluster_centers_.astype(np.float32)
        return ConstrainedClusters(found.labels_, centers, np.zeros(n_clusters), inertia)
    with threadpool_limits(limits=1, user_api="blas"):
        return _fit_sample(
            rows, n_clusters, max(sample_rows or SAMPLE_ROWS, n_clusters), seed, effective_n_jobs(n_jobs)
        )


def _fit(wide: np.ndarray, n_clusters: int, seed: int) -> Any:
    """Fit the estimator of the package to float64 rows."""
    try:
        from k_means_constrained import KMeansConstrained  # takes a second to import
    except ImportError as error:
        raise BackendError(
            f"clusters by k-means-constrained need the package of this name: {error}",
            hint=MISSING_HINT,
        ) from error
    sizes = {"size_min": len(wide) // n_clusters, "size_max": -(-len(wide) // n_clusters)}
    return KMeansConstrained(n_clusters, **sizes, n_init=1, random_state=seed).fit(wide)


def _fit_sample(rows: np.ndarray, n_clusters: int, size: int, seed: int, threads: int) -> ConstrainedClusters:
    """Cluster a sample, and assign all rows to its centers."""
    frame, sample = draw_sample(rows, size, check_random_state(seed), threads)
    found = _fit(sample.astype(np.float64), n_clusters, seed)
    centers = frame.restore(found.cluster_centers_).astype(np.float32)
    framed = frame.apply(centers.astype(np.float64))
    start = Solution(framed, np.zeros(n_clusters), FINEST, np.inf, found.n_iter_)
    priced = final_prices(sample, start, np.empty((len(sample), n_clusters), np.float32), threads)
    assigned = assign_rows(
        lambda first, last: frame_block(rows, frame, first, last),
        len(rows),
        framed,
        priced.prices,
        priced.eps,
        sample,
        threads,
        report=lambda done, inertia: None,
    )
    unit = frame.scale**2
    return ConstrainedClusters(assigned.labels, centers, assigned.prices / unit, assigned.inertia / unit)
