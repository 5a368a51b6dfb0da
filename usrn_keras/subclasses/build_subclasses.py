"""From a Baseline's features to subclasses of equal size and the sublabel map of every image.

`plain_sizes` says what plain k-means would have given: the comparison of the paper's Table 4.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.mask_files import MAX_SUBLABELS
from usrn_keras.errors import RecipeError
from usrn_keras.files import read_json, storage_errors, write_json
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_balance import Clustering, subclass_counts
from usrn_keras.subclasses.class_clusters import ClassClusters, cluster_classes
from usrn_keras.subclasses.extract_features import FEATURES, stored_features
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
    keep_features: bool = False,
    progress: Progress = SILENT,
    warn: Callable[[str], None] = lambda text: None,
) -> SubclassMap:
    """Cluster every class of the labelled images and write their sublabel maps.

    Writes `subclasses.json`, `centers.npy` and `sublabels/NAME.png` into `folder`; what an
    interrupted call has made (features of a batch of images, clusters of a class, maps) is taken up.

    Args:
        model: Images to decoder features (`Branch.feature_model`).
        dataset: Its labelled images are clustered.
        folder: Where to write.
        clustering: How.
        workers: Threads that read images.
        keep_features: Keep the feature store, which is large, for `plain_sizes`.
        progress: Counts masks, images and rows.
        warn: Told about classes that are absent or too small for their count.

    Raises:
        StorageError: There is too little space for the features.
        DataError: An image or mask cannot be read.
        DivergedError: A feature is not a number.
        RecipeError: There are more subclasses than a map of 16 bits can number.
    """
    survey, store = stored_features(model, dataset, folder, clustering, workers=workers, progress=progress)
    counts = _counts(survey, dataset, clustering, warn)
    _drop_other_maps(folder, store, counts, clustering)
    clusters = cluster_classes(store, counts, clustering, progress=progress)
    subclasses = _numbered(dataset, survey, counts, clusters)
    maps = SublabelMaps(dataset, survey, store, clusters, subclasses, clustering, folder)
    maps.write(model, workers=workers, progress=progress)
    subclasses.save(folder)
    if not keep_features:
        remove_features(folder)
    return subclasses


def remove_features(folder: Path) -> None:
    """Delete the feature store of a stage, if it is there; it is made again whenever it is needed."""
    if (folder / FEATURES).exists():
        with storage_errors(folder / FEATURES):
            shutil.rmtree(folder / FEATURES)


def _counts(
    survey: MaskSurvey, dataset: Dataset, clustering: Clustering, warn: Callable[[str], None]
) -> np.ndarray:
    """K_c of each class from its pixels, not more than it has feature pixels."""
    counts = subclass_counts(
        survey.pixels.sum(axis=0),
        size_factor=clustering.size_factor,
        counts=clustering.counts or None,
        max_subclasses=clustering.max_subclasses,
    )
    rows = survey.rows.sum(axis=0)[:-1]
    for name, count, available in zip(dataset.classes, counts, rows, strict=True):
        if count == 0:
            warn(f"class {name!r} has no pixel in the labelled images: it gets no subclass")
        elif count > max(available, 1):
            cut = f"{count} subclasses cut to {max(available, 1)}"
            warn(f"class {name!r}: {cut}, it has {available} feature pixels")
    counts = np.minimum(counts, np.maximum(rows, 1))
    if counts.sum() > MAX_SUBLABELS:
        raise RecipeError(
            f"{counts.sum()} subclasses are more than a sublabel map can number, {MAX_SUBLABELS}",
            hint="Raise subclasses.size_factor, or lower subclasses.max_subclasses or subclasses.counts.",
        )
    return counts


def _drop_other_maps(folder: Path, store: FeatureStore, counts: np.ndarray, clustering: Clustering) -> None:
    """Delete the maps of an interrupted call unless it had the same features, counts and options."""
    file = store.folder / "maps.json"
    clusters = [counts.tolist(), clustering.assignment, clustering.sample_rows, clustering.seed]
    if file.exists() and read_json(file) == clusters:
        return
    with storage_errors(folder):
        if (folder / "sublabels").exists():
            shutil.rmtree(folder / "sublabels")
    write_json(file, clusters)


def _numbered(
    dataset: Dataset, survey: MaskSurvey, counts: np.ndarray, clusters: Sequence[ClassClusters]
) -> SubclassMap:
    """The clusters of all classes, numbered through."""
    return SubclassMap(
        dataset.classes,
        counts,
        sizes=np.concatenate([found.sizes for found in clusters]),
        centers=np.concatenate([found.centers for found in clusters]),
        pixels=survey.pixels.sum(axis=0),
        feature_pixels=survey.rows.sum(axis=0)[:-1],
        inertia=np.array([found.inertia for found in clusters]),
        prices=np.concatenate([found.prices for found in clusters]),
    )


def plain_sizes(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    subclasses: SubclassMap,
    *,
    workers: int = 2,
    progress: Progress = SILENT,
) -> np.ndarray:
    """Sizes of the clusters that plain k-means gives with the same counts and features.

    Takes the features that `make_subclasses(..., keep_features=True)` left, or extracts them again;
    either way they stay until `remove_features(folder)`. Classes that an interrupted call has
    clustered are taken up.

    Args:
        model: Images to decoder features (`Branch.feature_model`).
        dataset: Its labelled images.
        folder: That of `make_subclasses`.
        clustering: That of `make_subclasses`.
        subclasses: What `make_subclasses` gave.
        workers: Threads that read images.
        progress: Counts masks, images and rows.

    Returns:
        `(K,)` int64 feature pixels of each cluster, class by class.

    Raises:
        USRNError: Those of `make_subclasses`.
    """
    _, store = stored_features(model, dataset, folder, clustering, workers=workers, progress=progress)
    plain = replace(clustering, assignment="free")
    clusters = cluster_classes(store, subclasses.counts, plain, progress=progress)
    return np.concatenate([found.sizes for found in clusters])
