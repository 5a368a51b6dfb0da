"""Beside k-means-constrained, an exact solver of every assignment step."""

from __future__ import annotations

import numpy as np
from k_means_constrained import KMeansConstrained

from tests.clustering.test_balanced_kmeans import blobs
from usrn_keras.clustering import BalancedKMeans


def test_as_good_as_k_means_constrained():
    """From equal starts, over seeds: the same sizes, and no larger inertia by more than a percent."""
    ours, theirs = [], []
    for seed in range(5):
        rows = blobs(240, seed=seed).astype(np.float64)
        start = rows[np.random.default_rng(seed).choice(len(rows), 6, replace=False)]
        mine = BalancedKMeans(6, init=start, random_state=seed).fit(rows)
        peer = KMeansConstrained(6, size_min=40, size_max=40, init=start, n_init=1, random_state=seed).fit(
            rows
        )
        assert np.bincount(mine.labels_).tolist() == np.bincount(peer.labels_).tolist() == [40] * 6
        ours.append(mine.inertia_)
        theirs.append(((rows - peer.cluster_centers_[peer.labels_]) ** 2).sum())
    assert np.mean(ours) < 1.01 * np.mean(theirs)
