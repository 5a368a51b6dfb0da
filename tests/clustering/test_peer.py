"""Beside k-means-constrained, an exact solver of every assignment step."""

from __future__ import annotations

import numpy as np
import pytest
from k_means_constrained import KMeansConstrained

from tests.clustering.test_balanced_kmeans import blobs
from usrn_keras.clustering import BalancedKMeans
from usrn_keras.clustering.constrained_kmeans import MAX_ROWS, constrained_kmeans


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


def test_constrained_kmeans_gives_equal_sizes_and_its_inertia():
    rows = blobs(121, seed=0).astype(np.float16)
    labels, centers, inertia = constrained_kmeans(rows, 6, seed=1)
    assert sorted(np.bincount(labels, minlength=6).tolist()) == [20] * 5 + [21]
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(inertia, ((wide - centers[labels]) ** 2).sum(), rtol=1e-5)
    assert inertia < 0.5 * ((wide - wide.mean(axis=0)) ** 2).sum()
    again, *_ = constrained_kmeans(rows, 6, seed=1)
    np.testing.assert_array_equal(labels, again)


def test_constrained_kmeans_rejects_many_rows():
    with pytest.raises(ValueError, match=f"at most {MAX_ROWS} rows, received {MAX_ROWS + 1}"):
        constrained_kmeans(np.zeros((MAX_ROWS + 1, 1)), 2)
