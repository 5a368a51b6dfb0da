"""Where k-means starts."""

from __future__ import annotations

import numpy as np
from sklearn.cluster import kmeans_plusplus

ROWS_PER_CLUSTER = 50  # k-means++ gains nothing from more, and costs K passes over them


def start_centers(
    init: str | np.ndarray, sample: np.ndarray, clusters: int, rng: np.random.RandomState
) -> np.ndarray:
    """`(clusters, features)` float32 rows to start from.

    Args:
        init: `"k-means++"`, `"random"` (distinct rows) or the centers themselves, in the frame of the sample.
        sample: `(n, features)` float32 in random order, at least `clusters` rows.
    """
    if isinstance(init, np.ndarray):
        return init.astype(np.float32)
    if init == "random":
        return sample[rng.permutation(len(sample))[:clusters]]
    rows = sample[: ROWS_PER_CLUSTER * clusters].astype(np.float64)  # scikit-learn would, block by block
    centers, _ = kmeans_plusplus(rows, clusters, random_state=rng)
    return centers.astype(np.float32)
