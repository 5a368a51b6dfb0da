"""Build subclasses of equal size and the sublabel map of every image from the features of a Baseline.

`plain_sizes` computes the cluster sizes of plain k-means for the comparison in Table 4 of the paper.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.decoding.mask_files import MAX_SUBLABELS
from usrn_keras.errors import RecipeError
from usrn_keras.files import read_json, storage_errors, write_json
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_balance import Clustering, subclass_counts
from usrn_keras.subclasses.class_clusters import cluster_classes
from usrn_keras.subclasses.extract_features import FEATURES, RemoteBlocks, extract_features
from usrn_keras.subclasses.feature_grid import MaskSurvey
from usrn_keras.subclasses.feature_store import FeatureStore
from usrn_keras.subclasses.subclass_map import SubclassMap
from usrn_keras.subclasses.sublabel_maps import SublabelMaps

if TYPE_CHECKING:
    import keras


def make_subclasses(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    *,
    workers: int = 2,
    remote: RemoteBlocks | None = None,
    keep_features: bool = False,
    progress: Progress = SILENT,
    warn: Callable[[str], None] = lambda text: None,
) -> SubclassMap:
    """Cluster every class of the labelled images and write their sublabel maps.

    Writes `subclasses.json`, `centers.npy` and `sublabels/NAME.png` to `folder`. An interrupted call is
    resumed: stored features, clusters of complete classes and written maps are kept.

    Args:
        model: Model from images to decoder features (`Branch.feature_model`).
        dataset: Data set whose labelled images are clustered.
        folder: Folder to write to.
        clustering: Options of the clustering.
        workers: Number of threads that read images.
        remote: Function that lets worker processes compute features; None: this process.
        keep_features: Whether to keep the feature store, which is large, for `plain_sizes`.
        progress: Progress, which counts masks, images and rows.
        warn: Callback for warnings about classes that are absent or too small for their number of subclasses.

    Raises:
        StorageError: The disk has too little space for the features.
        DataError: An image or mask cannot be read.
        DivergedError: A feature is NaN.
        RecipeError: There are more subclasses than ids in a 16-bit map.
    """
    survey, store = extract_features(
        model, dataset, folder, clustering, workers=workers, remote=remote, progress=progress
    )
    counts = _counts(survey, dataset, clustering, warn)
    _delete_outdated_maps(folder, store, counts, clustering)
    clusters = cluster_classes(store, counts, clustering, progress=progress)
    subclasses = SubclassMap(
        dataset.classes,
        counts,
        sizes=np.concatenate([found.sizes for found in clusters]),
        centers=np.concatenate([found.centers for found in clusters]),
        pixels=survey.pixels.sum(axis=0),
        feature_pixels=survey.rows.sum(axis=0)[:-1],
        inertia=np.array([found.inertia for found in clusters]),
        prices=np.concatenate([found.prices for found in clusters]),
    )
    maps = SublabelMaps(dataset, survey, store, clusters, subclasses, clustering, folder)
    maps.write(model, workers=workers, progress=progress)
    subclasses.save(folder)
    if not keep_features:
        remove_features(folder)
    return subclasses


def remove_features(folder: Path) -> None:
    """Delete the feature store of a stage if it exists. It is rebuilt when it is needed again."""
    if (folder / FEATURES).exists():
        with storage_errors(folder / FEATURES):
            shutil.rmtree(folder / FEATURES)


def _counts(
    survey: MaskSurvey, dataset: Dataset, clustering: Clustering, warn: Callable[[str], None]
) -> np.ndarray:
    """Compute K_c of each class from its pixels, at most the number of its feature pixels."""
    counts = subclass_counts(
        survey.pixels.sum(axis=0),
        size_factor=clustering.size_factor,
        counts=clustering.counts or None,
        max_subclasses=clustering.max_subclasses,
    )
    rows = survey.rows.sum(axis=0)[:-1]
    for name, count, available in zip(dataset.classes, counts, rows, strict=True):
        if count == 0:
            warn(f"class {name!r} has no pixels in the labelled images and gets no subclass")
        elif count > max(available, 1):
            reduced = f"{count} subclasses reduced to {max(available, 1)}"
            warn(f"class {name!r}: {reduced}, because it has {available} feature pixels")
    counts = np.minimum(counts, np.maximum(rows, 1))
    if counts.sum() > MAX_SUBLABELS:
        raise RecipeError(
            f"{counts.sum()} subclasses exceed the limit of a sublabel map, {MAX_SUBLABELS}",
            hint="Raise subclasses.size_factor, or lower subclasses.max_subclasses or subclasses.counts.",
        )
    return counts


def _delete_outdated_maps(
    folder: Path, store: FeatureStore, counts: np.ndarray, clustering: Clustering
) -> None:
    """Delete the maps of an interrupted call that had other features, counts or options."""
    file = store.folder / "maps.json"
    clusters = [counts.tolist(), clustering.algorithm, *clustering.fitted_with]
    if file.exists() and read_json(file) == clusters:
        return
    with storage_errors(folder):
        if (folder / "sublabels").exists():
            shutil.rmtree(folder / "sublabels")
    write_json(file, clusters)


def plain_sizes(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    subclasses: SubclassMap,
    *,
    workers: int = 2,
    remote: RemoteBlocks | None = None,
    progress: Progress = SILENT,
) -> np.ndarray:
    """Compute the cluster sizes of plain k-means with the same counts and features.

    Uses the features that `make_subclasses(..., keep_features=True)` kept, or extracts them again. They are
    kept until `remove_features(folder)`. Classes that an interrupted call has clustered are skipped.

    Args:
        model: Model from images to decoder features (`Branch.feature_model`).
        dataset: Data set whose labelled images are clustered.
        folder: Folder of `make_subclasses`.
        clustering: Options of `make_subclasses`.
        subclasses: Result of `make_subclasses`.
        workers: Number of threads that read images.
        remote: Function that lets worker processes compute features; None: this process.
        progress: Progress, which counts masks, images and rows.

    Returns:
        Number of feature pixels of each cluster, `(K,)` int64, class by class.

    Raises:
        USRNError: As in `make_subclasses`.
    """
    _, store = extract_features(
        model, dataset, folder, clustering, workers=workers, remote=remote, progress=progress
    )
    plain = replace(clustering, engine="balanced_kmeans", assignment="free")
    clusters = cluster_classes(store, subclasses.counts, plain, progress=progress)
    return np.concatenate([found.sizes for found in clusters])
