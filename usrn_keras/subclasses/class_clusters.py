"""The clusters of each class, computed once and kept; and the subclass classifier that starts from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.clustering import BalancedKMeans
from usrn_keras.clustering import ClusteringProgress as Told
from usrn_keras.files import atomic_path
from usrn_keras.progress import SILENT, Progress, Task
from usrn_keras.subclasses.class_balance import Clustering
from usrn_keras.subclasses.feature_store import FeatureStore

BLOCK = 8192  # rows


@dataclass(frozen=True, eq=False)
class ClassClusters:
    """The clusters of one class.

    Attributes:
        labels: `(rows,)` cluster of each row, in as few bytes as hold it.
        centers: `(K_c, channels)` float32.
        prices: `(K_c,)` float64, see `BalancedKMeans.prices_`.
        inertia: Mean squared distance of a row to the centre of its cluster; 0 without rows.
    """

    labels: np.ndarray
    centers: np.ndarray
    prices: np.ndarray
    inertia: float

    @property
    def sizes(self) -> np.ndarray:
        """`(K_c,)` int64, rows of each cluster."""
        return np.bincount(self.labels, minlength=len(self.centers))


def cluster_classes(
    store: FeatureStore, counts: np.ndarray, clustering: Clustering, *, progress: Progress = SILENT
) -> list[ClassClusters]:
    """Clusters of every class; each is kept beside its rows as soon as it is made.

    Args:
        store: The features.
        counts: `(C,)` number of clusters of each class, not above its rows but for 1.
        clustering: `assignment`, `sample_rows` and `seed` apply.
        progress: Counts rows; shows the Lloyd steps of the class at work.
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
    """Clusters of the rows of one class.

    Args:
        rows: `(n, channels)`, may be memory-mapped.
        count: Number of clusters; 0 for an absent class. One needs no rows and no clustering.
        clustering: `assignment`, `sample_rows` and `seed` apply.
        task: Advances by rows.
    """
    labelled = _Labelled(task)
    if count <= 1:
        centers, inertia = _mean(rows)
        labels = np.zeros(len(rows), np.uint8)
        found = ClassClusters(labels, centers[:count], np.zeros(count), inertia)
    else:
        kmeans = BalancedKMeans(
            count,
            assignment=clustering.assignment,
            n_init=1 if clustering.assignment == "free" else 4,  # the defaults of either algorithm
            sample_size=clustering.sample_rows or None,
            random_state=clustering.seed,
            n_jobs=-1,
            callback=labelled,
        ).fit(rows)
        labels = kmeans.labels_.astype(np.min_scalar_type(count - 1))
        found = ClassClusters(labels, kmeans.cluster_centers_, kmeans.prices_, kmeans.inertia_ / len(rows))
    labelled.upto(len(rows))
    return found


def load_clusters(
    store: FeatureStore, class_id: int, count: int, clustering: Clustering
) -> ClassClusters | None:
    """The clusters that were made with the same options, or None."""
    path = _file(store, class_id, clustering)
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as file:
        if file["options"].item() != _options(count, clustering):
            return None
        return ClassClusters(file["labels"], file["centers"], file["prices"], float(file["inertia"]))


def _save(store: FeatureStore, class_id: int, clusters: ClassClusters, clustering: Clustering) -> None:
    # Within the store: clusters of features that are gone mean nothing.
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
    return store.folder / f"class-{class_id}-{clustering.assignment}.npz"


def _options(count: int, clustering: Clustering) -> str:
    return json.dumps([count, clustering.sample_rows, clustering.seed])


def _mean(rows: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean `(1, channels)` float32 and mean squared distance to it, read in blocks."""
    if not len(rows):  # the class is thinner than the stride of the features
        return np.zeros((1, rows.shape[1]), np.float32), 0.0
    total, squares = np.zeros(rows.shape[1]), 0.0
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK].astype(np.float64)
        total += block.sum(axis=0)
        squares += np.vdot(block, block)
    mean = total / len(rows)
    return mean[None].astype(np.float32), max(0.0, float(squares / len(rows) - mean @ mean))


class _Labelled:
    """Turns what `BalancedKMeans` tells into rows of a task."""

    def __init__(self, task: Task):
        self.task, self.rows = task, 0

    def __call__(self, told: Told) -> None:
        if told.phase == "fit":
            self.task.advance(0, step=told.done)
        else:
            self.upto(told.done)

    def upto(self, rows: int) -> None:
        """So many rows are labelled; a second pass over them begins at the first again."""
        self.task.advance(max(0, rows - self.rows))
        self.rows = max(rows, self.rows)


def centroid_classifier(centers: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear classifier whose logits are `-|x - c_k|^2 / temperature`, up to what all classes share.

    Args:
        centers: `(K, channels)` float32.
        temperature: In squared feature units; smaller is surer.

    Returns:
        `kernel (channels, K)` and `bias (K,)`, float32.

    Example:

    >>> kernel, bias = centroid_classifier(np.array([[0.0], [2.0]], "float32"), 1.0)
    >>> (np.array([[1.5]]) @ kernel + bias).argmax()
    np.int64(1)
    """
    kernel = 2 * centers.T / temperature
    bias = -(centers**2).sum(axis=1) / temperature
    return kernel.astype(np.float32), bias.astype(np.float32)


def calibrated_temperature(features: np.ndarray, sublabels: np.ndarray, centers: np.ndarray) -> float:
    """The temperature with the least cross entropy on labelled feature pixels.

    Args:
        features: `(n, channels)` float32.
        sublabels: `(n,)` int.
        centers: `(K, channels)` float32.

    Returns:
        A value of a geometric grid around the mean squared distance to the own centre.
    """
    scores = 2 * features @ centers.T - (centers**2).sum(axis=1)
    own = scores[np.arange(len(features)), sublabels]
    spread = float(np.mean((features**2).sum(axis=1) - own)) + 1e-6
    grid = spread * np.geomspace(1e-3, 10, 33)
    return float(min(grid, key=lambda temperature: _cross_entropy(scores / temperature, sublabels)))


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]))
