"""Cluster the features of every class with each engine, and measure time, compactness and sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.files import read_json, write_json
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_balance import Clustering
from usrn_keras.subclasses.class_clusters import BLOCK, cluster_rows
from usrn_keras.subclasses.feature_store import FeatureStore

ENGINES = {
    "balanced_kmeans": {"engine": "balanced_kmeans", "assignment": "balanced"},
    "k_means_constrained": {"engine": "k_means_constrained", "assignment": "balanced"},
    "k_means": {"engine": "balanced_kmeans", "assignment": "free"},
}
"""Options of `Clustering` by the name of the engine; `k_means` is plain, with clusters of any size."""


@dataclass(frozen=True)
class EngineResult:
    """Clusters of one class by one engine.

    Attributes:
        engine: A name in `ENGINES`.
        class_id: Class.
        seconds: Wall time of the clustering in seconds, reading of the rows included.
        squares: Within-cluster sum of squares: squared distances of all rows to the mean of their cluster.
        sizes: Number of rows of each cluster.
    """

    engine: str
    class_id: int
    seconds: float
    squares: float
    sizes: tuple[int, ...]


def compare_engines(
    store: FeatureStore,
    counts: np.ndarray,
    clustering: Clustering,
    file: Path,
    *,
    progress: Progress = SILENT,
) -> list[EngineResult]:
    """Cluster every class with each engine from the same rows, counts and seed.

    Every result is written to `file` as soon as it is known, and is not measured again by another call.

    Args:
        store: Features of the labelled images.
        counts: Number of clusters of each class, `(C,)`.
        clustering: Options; `sample_rows`, `starts` and `seed` are used.
        file: JSON file of the results.
        progress: Progress, which counts rows.

    Raises:
        BackendError: The package of an engine is not installed.

    Returns:
        One result for each engine and class with clusters, class by class.
    """
    key = _key(counts, clustering)
    results = _load(file, key)
    known = {(result.engine, result.class_id) for result in results}
    pairs = _pairs(counts)
    rows = {class_id: len(store.rows(class_id)) for class_id in np.flatnonzero(counts).tolist()}
    done = sum(rows[class_id] for _, class_id in known)
    warm_rows = np.random.default_rng(0).normal(size=(8, store.channels)).astype(np.float16)
    for name in ENGINES:  # the time of imports and compilers is not measured
        cluster_rows(warm_rows, 2, replace(clustering, **ENGINES[name]))
    with progress.task("comparison", total=sum(rows[class_id] for _, class_id in pairs), done=done) as task:
        for name, class_id in pairs:
            if (name, class_id) in known:
                continue
            options, start = replace(clustering, **ENGINES[name]), time.monotonic()
            found = cluster_rows(store.rows(class_id), int(counts[class_id]), options, task=task)
            seconds = time.monotonic() - start
            squares = within_squares(store.rows(class_id), found.labels, int(counts[class_id]))
            sizes = tuple(map(int, found.sizes))
            results.append(EngineResult(name, class_id, round(seconds, 4), squares, sizes))
            write_json(file, {"key": key, "results": [asdict(result) for result in results]})
    return sorted(results, key=lambda result: pairs.index((result.engine, result.class_id)))


def complete_results(file: Path, counts: np.ndarray, clustering: Clustering) -> list[EngineResult] | None:
    """Read the results of an earlier call of `compare_engines` with the same arguments; None if any lacks."""
    results, pairs = _load(file, _key(counts, clustering)), _pairs(counts)
    if len(results) < len(pairs):
        return None
    return sorted(results, key=lambda result: pairs.index((result.engine, result.class_id)))


def _pairs(counts: np.ndarray) -> list[tuple[str, int]]:
    return [(name, class_id) for class_id in np.flatnonzero(counts).tolist() for name in ENGINES]


def _key(counts: np.ndarray, clustering: Clustering) -> dict[str, Any]:
    key = {"counts": counts.tolist(), "sample_rows": clustering.sample_rows, "seed": clustering.seed}
    return key | {"starts": clustering.starts} if clustering.starts else key


def _load(file: Path, key: dict[str, Any]) -> list[EngineResult]:
    if not file.exists():
        return []

    def parse(value: dict[str, Any]) -> list[EngineResult]:
        if value["key"] != key:
            return []
        return [EngineResult(**{**entry, "sizes": tuple(entry["sizes"])}) for entry in value["results"]]

    return read_json(file, parse)


def within_squares(rows: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Compute the within-cluster sum of squares: squared distances of rows to the mean of their cluster.

    Args:
        rows: Rows `(n, channels)`, which may be memory-mapped.
        labels: Cluster of each row, `(n,)`.
        count: Number of clusters.

    Example:

    >>> within_squares(np.array([[0.0], [2.0], [9.0]]), np.array([0, 0, 1]), 2)
    2.0
    """
    if not len(rows):
        return 0.0
    sums, sizes = np.zeros((count, rows.shape[1])), np.bincount(labels, minlength=count)
    for block, own in _blocks(rows, labels):
        np.add.at(sums, own, block)
    means = sums / np.maximum(sizes, 1)[:, None]
    return float(sum(((block - means[own]) ** 2).sum() for block, own in _blocks(rows, labels)))


def _blocks(rows: np.ndarray, labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(rows), BLOCK):
        yield rows[start : start + BLOCK].astype(np.float64), labels[start : start + BLOCK]
