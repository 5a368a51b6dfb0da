"""Cluster the features of each class, and derive the initial subclass classifier from the centers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.files import atomic_path
from usrn_keras.progress import SILENT, Progress, Task
from usrn_keras.subclasses.class_balance import Clustering
from usrn_keras.subclasses.feature_store import FeatureStore

if TYPE_CHECKING:
    from usrn_keras.clustering import ClusteringProgress

BLOCK = 8192  # rows that are read at once
DEFAULT_STARTS = {"balanced": 4, "free": 1}


@dataclass(frozen=True, eq=False)
class ClassClusters:
    """The clusters of one class.

    Attributes:
        labels: Cluster of each row, `(rows,)` of the smallest unsigned integer type.
        centers: Centers `(K_c, channels)` float32.
        prices: Prices `(K_c,)` float64, see `BalancedKMeans.prices_`.
        inertia: Mean squared distance of a row to the center of its cluster; 0 without rows.
    """

    labels: np.ndarray
    centers: np.ndarray
    prices: np.ndarray
    inertia: float

    @property
    def sizes(self) -> np.ndarray:
        """Number of rows of each cluster, `(K_c,)` int64."""
        return np.bincount(self.labels, minlength=len(self.centers))


def cluster_classes(
    store: FeatureStore, counts: np.ndarray, clustering: Clustering, *, progress: Progress = SILENT
) -> list[ClassClusters]:
    """Cluster every class. The clusters of each class are saved in the store as soon as they are complete.

    Args:
        store: Features of the labelled images.
        counts: Number of clusters of each class, `(C,)`, at most the number of its rows or 1.
        clustering: Options; `algorithm`, `sample_rows`, `starts` and `seed` are used.
        progress: Progress, which counts rows and shows the Lloyd steps of the current class.

    Returns:
        The clusters of each class.
    """
    found = [load_clusters(store, class_id, int(count), clustering) for class_id, count in enumerate(counts)]
    rows = int(store.counts[:, : store.classes].sum())
    done = sum(len(known.labels) for known in found if known is not None)
    with progress.task("clustering", total=rows, done=done) as task:
        for class_id in (class_id for class_id, known in enumerate(found) if known is None):
            made = cluster_rows(store.rows(class_id), int(counts[class_id]), clustering, task=task)
            _save(store, class_id, made, clustering)
            found[class_id] = made
    return found


def cluster_rows(
    rows: np.ndarray, count: int, clustering: Clustering, *, task: Task = SILENT
) -> ClassClusters:
    """Cluster the rows of one class.

    Args:
        rows: Features `(n, channels)`, which may be memory-mapped.
        count: Number of clusters; 0 for an absent class.
        clustering: Options; `algorithm`, `sample_rows`, `starts` and `seed` are used.
        task: Progress task, which advances by rows.
    """
    # 200 MB with scikit-learn and numba, which most stages and methods never need.
    from usrn_keras.clustering import BalancedKMeans
    from usrn_keras.clustering.constrained_kmeans import constrained_kmeans

    report = _RowProgress(task)
    if count <= 1:
        centers, inertia = _mean(rows)
        labels = np.zeros(len(rows), np.uint8)
        found = ClassClusters(labels, centers[:count], np.zeros(count), inertia)
    elif clustering.algorithm == "constrained":
        equal = constrained_kmeans(
            rows, count, sample_rows=clustering.sample_rows, seed=clustering.seed, n_jobs=-1
        )
        labels = equal.labels.astype(np.min_scalar_type(count - 1))
        found = ClassClusters(labels, equal.centers, equal.prices, equal.inertia / len(rows))
    else:
        kmeans = BalancedKMeans(
            count,
            assignment=clustering.algorithm,
            n_init=clustering.starts or DEFAULT_STARTS[clustering.algorithm],
            sample_size=clustering.sample_rows or None,
            random_state=clustering.seed,
            n_jobs=-1,
            callback=report,
        ).fit(rows)
        labels = kmeans.labels_.astype(np.min_scalar_type(count - 1))
        found = ClassClusters(labels, kmeans.cluster_centers_, kmeans.prices_, kmeans.inertia_ / len(rows))
    report.advance_to(len(rows))
    return found


def load_clusters(
    store: FeatureStore, class_id: int, count: int, clustering: Clustering
) -> ClassClusters | None:
    """Load the clusters of a class with the same options; None if there are none."""
    path = _file(store, class_id, clustering)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        if file["options"].item() != _options(count, clustering):
            return None
        return ClassClusters(file["labels"], file["centers"], file["prices"], float(file["inertia"]))


def _save(store: FeatureStore, class_id: int, clusters: ClassClusters, clustering: Clustering) -> None:
    # Saved in the store, because clusters are useless without its features.
    with atomic_path(_file(store, class_id, clustering)) as temporary:
        np.savez(
            temporary,
            labels=clusters.labels,
            centers=clusters.centers,
            prices=clusters.prices,
            inertia=clusters.inertia,
            options=_options(len(clusters.centers), clustering),
        )


def _file(store: FeatureStore, class_id: int, clustering: Clustering) -> Path:
    return store.folder / f"class-{class_id}-{clustering.algorithm}.npz"


def _options(count: int, clustering: Clustering) -> str:
    return json.dumps([count, *clustering.fitted_with])


def _mean(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Compute the mean `(1, channels)` float32 and the mean squared distance to it, in blocks."""
    if not len(rows):  # the class is thinner than the stride of the features
        return np.zeros((1, rows.shape[1]), np.float32), 0.0
    total, squares = np.zeros(rows.shape[1]), 0.0
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].astype(np.float64)
        total += block.sum(axis=0)
        squares += np.vdot(block, block)
    mean = total / len(rows)
    return mean[None].astype(np.float32), max(0.0, float(squares / len(rows) - mean @ mean))


class _RowProgress:
    """Callback of `BalancedKMeans` that advances a task by rows."""

    def __init__(self, task: Task):
        self.task, self.rows = task, 0

    def __call__(self, state: ClusteringProgress) -> None:
        if state.phase == "fit":
            self.task.advance(0, step=state.done)
        else:
            self.advance_to(state.done)

    def advance_to(self, rows: int) -> None:
        """Advance to a number of rows; a second pass over the rows does not count again."""
        self.task.advance(max(0, rows - self.rows))
        self.rows = max(rows, self.rows)


def centroid_classifier(centers: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Build a linear classifier with the logits `-|x - c_k|^2 / temperature`, up to a common constant.

    Args:
        centers: Centers `(K, channels)` float32.
        temperature: Temperature in squared feature units; a smaller value gives more confident predictions.

    Returns:
        Kernel `(channels, K)` and bias `(K,)`, float32.

    Example:

    >>> kernel, bias = centroid_classifier(np.array([[0.0], [2.0]], "float32"), 1.0)
    >>> (np.array([[1.5]]) @ kernel + bias).argmax()
    np.int64(1)
    """
    kernel = 2 * centers.T / temperature
    bias = -(centers**2).sum(axis=1) / temperature
    return kernel.astype(np.float32), bias.astype(np.float32)


def calibrated_temperature(features: np.ndarray, sublabels: np.ndarray, centers: np.ndarray) -> float:
    """Find the temperature with the least cross entropy on labelled feature pixels.

    Args:
        features: Features `(n, channels)` float32.
        sublabels: Subclass of each feature, `(n,)` int.
        centers: Centers `(K, channels)` float32.

    Returns:
        The best value of a geometric grid around the mean squared distance to the center of the subclass.
    """
    scores = 2 * features @ centers.T - (centers**2).sum(axis=1)
    own = scores[np.arange(len(features)), sublabels]
    spread = float(np.mean((features**2).sum(axis=1) - own)) + 1e-6
    grid = spread * np.geomspace(1e-3, 10, 33)
    return float(min(grid, key=lambda temperature: _cross_entropy(scores / temperature, sublabels)))


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]))
