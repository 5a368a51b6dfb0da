"""Beside k-means-constrained, an exact solver of every assignment step."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from k_means_constrained import KMeansConstrained

from tests.clustering.test_balanced_kmeans import blobs
from usrn_keras.clustering import BalancedKMeans
from usrn_keras.clustering import constrained_kmeans as peer_file
from usrn_keras.clustering.constrained_kmeans import constrained_kmeans
from usrn_keras.errors import BackendError


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
    found = constrained_kmeans(rows, 6, seed=1)
    assert sorted(np.bincount(found.labels, minlength=6).tolist()) == [20] * 5 + [21]
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(found.inertia, squares(wide, found), rtol=1e-5)
    assert found.inertia < 0.5 * ((wide - wide.mean(axis=0)) ** 2).sum()
    assert found.centers.dtype == np.float32 and found.prices.tolist() == [0] * 6
    np.testing.assert_array_equal(found.labels, constrained_kmeans(rows, 6, seed=1).labels)


@pytest.mark.parametrize(("scale", "dtype"), [(1.0, np.float16), (1e-4, np.float64), (300.0, np.float32)])
def test_a_sample_above_many_rows_keeps_sizes_exact(monkeypatch, scale, dtype):
    """Far fewer rows fit the centers; all rows are assigned, about as well as by our own k-means."""
    monkeypatch.setattr(peer_file, "MAX_ROWS", 500)
    rows = (scale * blobs(3001, seed=0)).astype(dtype)
    found = constrained_kmeans(rows, 7, sample_rows=400, seed=1)
    assert sorted(np.bincount(found.labels, minlength=7).tolist()) == [428] * 2 + [429] * 5
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(found.inertia, squares(wide, found), rtol=1e-3)
    ours = np.mean([BalancedKMeans(7, random_state=seed).fit(rows).inertia_ for seed in range(3)])
    seeds = [constrained_kmeans(rows, 7, sample_rows=400, seed=seed).inertia for seed in range(3)]
    assert ours < 1.05 * np.mean(seeds) < 1.25 * ours  # the package has one start, ours has four
    # The prices give the rows to their clusters, except for a few at borders.
    costs = ((wide[:, None] - found.centers) ** 2).sum(axis=2) + found.prices
    assert (costs.argmin(axis=1) == found.labels).mean() > 0.99
    again = constrained_kmeans(rows, 7, sample_rows=400, seed=1, n_jobs=2)
    np.testing.assert_array_equal(found.labels, again.labels)


def test_a_sample_has_a_row_for_each_cluster(monkeypatch):
    monkeypatch.setattr(peer_file, "MAX_ROWS", 20)
    found = constrained_kmeans(blobs(60, seed=0), 30, sample_rows=5)
    assert set(np.bincount(found.labels, minlength=30)) == {2}


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "k_means_constrained", None)
    with pytest.raises(BackendError, match="need the package of this name"):
        constrained_kmeans(np.zeros((4, 1)), 2)


def squares(rows: np.ndarray, found: peer_file.ConstrainedClusters) -> float:
    return float(((rows - found.centers[found.labels]) ** 2).sum())
