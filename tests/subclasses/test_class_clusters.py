from __future__ import annotations

import numpy as np
import pytest

from benchmarks.mixture import mixture
from tests.subclasses.made_dataset import Recorder
from usrn_keras.clustering import BalancedKMeans
from usrn_keras.clustering import constrained_kmeans as constrained_file
from usrn_keras.clustering.constrained_kmeans import constrained_kmeans
from usrn_keras.subclasses import Clustering
from usrn_keras.subclasses.class_clusters import cluster_classes, cluster_rows
from usrn_keras.subclasses.feature_store import FeatureStore

ROWS = np.random.default_rng(0).normal(size=(700, 4)).astype(np.float16)


@pytest.fixture
def store(tmp_path):
    """Classes of 400, 200, 100 and 0 rows."""
    store = FeatureStore(tmp_path / "features", channels=4, classes=4, key=0)
    store.append(["a"], [[ROWS[:400], ROWS[400:600], ROWS[600:], ROWS[:0], ROWS[:5]]])
    return store


@pytest.fixture
def fits(monkeypatch):
    """The number of clusters of each fit; a fit of 99 clusters is interrupted."""
    made = []

    class Counted(BalancedKMeans):
        def fit(self, X, y=None):
            if self.n_clusters == 99:
                raise KeyboardInterrupt
            made.append(self.n_clusters)
            return super().fit(X, y)

    monkeypatch.setattr("usrn_keras.clustering.BalancedKMeans", Counted)
    return made


def test_clusters_are_those_of_balanced_k_means():
    found = cluster_rows(ROWS, 7, Clustering(seed=3))
    kmeans = BalancedKMeans(7, random_state=3, n_jobs=-1).fit(ROWS)
    assert found.labels.dtype == np.uint8
    np.testing.assert_array_equal(found.labels, kmeans.labels_)
    np.testing.assert_array_equal(found.centers, kmeans.cluster_centers_)
    np.testing.assert_array_equal(found.prices, kmeans.prices_)
    assert found.sizes.tolist() == [100] * 7
    distances = ((ROWS - found.centers[found.labels]).astype(float) ** 2).sum(axis=1)
    assert found.inertia == pytest.approx(distances.mean(), rel=1e-4)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], np.full((9000, 4), 60000, np.float16)])
def test_one_cluster_is_the_mean(rows, fits):
    found = cluster_rows(rows, 1, Clustering())
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(found.centers, wide.mean(axis=0)[None], rtol=1e-6)
    assert found.inertia == pytest.approx(((wide - wide.mean(axis=0)) ** 2).sum(axis=1).mean(), abs=1e-6)
    assert fits == [] and found.sizes.tolist() == [len(rows)] and found.prices.tolist() == [0]


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_without_rows(count):
    found = cluster_rows(ROWS[:0], count, Clustering())
    assert found.centers.shape == (count, 4) and found.centers.dtype == np.float32
    assert found.sizes.tolist() == [0] * count and found.inertia == 0


def test_labels_of_more_than_256_clusters():
    found = cluster_rows(ROWS, 300, Clustering())
    assert found.labels.dtype == np.uint16 and set(found.sizes) == {2, 3}


@pytest.mark.parametrize("assignment", ["balanced", "free"])
def test_progress_counts_every_row_once(store, assignment):
    progress = Recorder()
    cluster_classes(store, np.array([5, 3, 1, 0]), Clustering(assignment=assignment), progress=progress)
    assert progress.totals["clustering"] == progress.tasks["clustering"][-1] == 700


def test_classes_are_kept_one_by_one(store, fits):
    """Interrupted in the third class, the first two are not clustered again."""
    with pytest.raises(KeyboardInterrupt):
        cluster_classes(store, np.array([5, 3, 99, 0]), Clustering())
    assert fits == [5, 3]
    progress = Recorder()
    found = cluster_classes(store, np.array([5, 3, 2, 0]), Clustering(), progress=progress)
    assert fits == [5, 3, 2] and progress.tasks["clustering"][-1] == 700
    for class_id, count in enumerate([5, 3, 2]):
        direct = cluster_rows(store.rows(class_id), count, Clustering())
        for name in ("labels", "centers", "prices", "inertia", "sizes"):
            np.testing.assert_array_equal(getattr(found[class_id], name), getattr(direct, name))


@pytest.mark.parametrize("change", [{"seed": 1}, {"sample_rows": 50}, {"starts": 20}, {"assignment": "free"}])
def test_other_options_are_other_clusters(store, fits, change):
    counts = np.array([5, 1, 1, 0])
    cluster_classes(store, counts, Clustering())
    cluster_classes(store, counts, Clustering(**change))
    cluster_classes(store, counts, Clustering(**change))
    assert fits == [5, 5]


def test_more_starts_lower_the_sum_of_squares_of_few_rows():
    rows = mixture(333, 256, seed=2)
    few, many = (cluster_rows(rows, 15, Clustering(starts=starts)) for starts in (0, 20))
    assert sorted(few.sizes) == sorted(many.sizes) == [22] * 12 + [23] * 3
    assert many.inertia < 0.995 * few.inertia
    assert cluster_rows(rows, 15, Clustering(starts=4)).inertia == few.inertia


def test_clusters_go_with_the_store(store, tmp_path):
    cluster_classes(store, np.array([5, 3, 1, 0]), Clustering())
    assert len(list(store.folder.glob("*.npz"))) == 4
    FeatureStore(tmp_path / "features", channels=4, classes=4, key="other")
    assert not list(store.folder.glob("*.npz"))


@pytest.mark.parametrize("asked", [{"engine": "k_means_constrained"}, {"assignment": "constrained"}])
def test_clusters_by_k_means_constrained(store, asked):
    counts = np.array([4, 2, 1, 0])
    found = cluster_classes(store, counts, Clustering(**asked, seed=3))
    assert [clusters.sizes.tolist() for clusters in found] == [[100] * 4, [100] * 2, [100], []]
    alone = constrained_kmeans(ROWS[:400], 4, seed=3)
    np.testing.assert_array_equal(found[0].labels, alone.labels)
    np.testing.assert_array_equal(found[0].centers, alone.centers)
    assert found[0].inertia == pytest.approx(alone.inertia / 400)


def test_k_means_constrained_clusters_a_sample_of_a_large_class(store, monkeypatch):
    monkeypatch.setattr(constrained_file, "MAX_ROWS", 150)
    options = Clustering(engine="k_means_constrained", sample_rows=120)
    found = cluster_classes(store, np.array([7, 2, 2, 0]), options)
    assert sorted(found[0].sizes) == [57] * 6 + [58] and found[2].sizes.tolist() == [50, 50]
    assert found[0].prices.any() and not found[2].prices.any()
