"""From a Baseline's features to subclasses of equal size and the sublabel map of every image."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.clustering import BalancedKMeans
from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.files import storage_errors
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.counts import subclass_counts
from usrn_keras.subclasses.features import extract_features, feature_file, feature_labels, gather_rows
from usrn_keras.subclasses.subclass_map import SubclassMap
from usrn_keras.subclasses.sublabels import sublabel_map, write_sublabels

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Clustering:
    """How classes are cut: the recipe's `[subclasses]`."""

    size_factor: float = 1.0
    counts: Sequence[int] = ()
    max_subclasses: int = 256
    assignment: str = "balanced"
    sample_rows: int = 500_000
    seed: int = 0


def make_subclasses(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    *,
    progress: Progress = SILENT,
    warn: Callable[[str], None] = lambda text: None,
) -> SubclassMap:
    """Cluster every class of the labelled images and write their sublabel maps.

    Writes `subclasses.json`, `centers.npy` and `sublabels/NAME.png` into `folder`; what an
    interrupted call has written is taken up.

    Args:
        model: Images to decoder features (`Branch.feature_model`).
        dataset: Its labelled images are clustered.
        folder: Where to write.
        clustering: How.
        progress: Counts images and classes.
        warn: Told about classes that are absent or too small for their count.
    """
    features, samples = folder / "features", dataset.labelled
    extract_features(model, samples, dataset, features, progress=progress)
    masks = [read_mask(sample.mask, dataset) for sample in samples]
    labels = [feature_labels(mask) for mask in masks]
    counts = _counts(masks, labels, dataset, clustering, warn)
    clusters, subclasses = _cluster(samples, labels, counts, dataset, folder, clustering, progress)
    with progress.task("sublabel maps", total=len(samples)) as task:
        for sample, mask, cluster in zip(samples, masks, clusters, strict=True):
            maps = sublabel_map(mask, cluster, np.load(feature_file(features, sample)), subclasses)
            write_sublabels(sublabel_file(folder, sample), maps, subclasses.total)
            task.advance()
    subclasses.save(folder)
    shutil.rmtree(features)  # large, and made again from the Baseline whenever they are needed
    return subclasses


def sublabel_file(folder: Path, sample: Sample) -> Path:
    """Where the sublabel map of a sample is kept."""
    return folder / "sublabels" / f"{sample.name}.png"


def class_pixels(masks: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """`(classes,)` int64, pixels of each class in all masks; other ids are not counted."""
    return sum(np.bincount(mask[mask < classes], minlength=classes) for mask in masks)


def _counts(
    masks: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    dataset: Dataset,
    clustering: Clustering,
    warn: Callable[[str], None],
) -> np.ndarray:
    """K_c of each class, not more than it has feature pixels."""
    counts = subclass_counts(
        class_pixels(masks, len(dataset.classes)),
        size_factor=clustering.size_factor,
        counts=clustering.counts or None,
        max_subclasses=clustering.max_subclasses,
    )
    rows = class_pixels(labels, len(dataset.classes))
    for name, count, available in zip(dataset.classes, counts, rows, strict=True):
        if count == 0:
            warn(f"class {name!r} has no pixel in the labelled images: it gets no subclass")
        elif count > max(available, 1):
            cut = f"{count} subclasses cut to {max(available, 1)}"
            warn(f"class {name!r}: {cut}, it has {available} feature pixels")
    return np.minimum(counts, np.maximum(rows, 1))


def _cluster(
    samples: Sequence[Sample],
    labels: Sequence[np.ndarray],
    counts: np.ndarray,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    progress: Progress,
) -> tuple[list[np.ndarray], SubclassMap]:
    """Cluster map of every image, and the subclasses."""
    clusters = [np.full(label.shape, -1, np.int32) for label in labels]
    centers, sizes, first = [], [], 0
    with progress.task("clustering", total=len(counts)) as task:
        for class_id, count in enumerate(counts):
            if count:
                assigned, center = _cluster_class(samples, labels, class_id, int(count), folder, clustering)
                _scatter(clusters, labels, class_id, assigned + first)
                centers.append(center)
                sizes.append(np.bincount(assigned, minlength=count))
                first += int(count)
            task.advance(subclasses=first)
    return clusters, SubclassMap(dataset.classes, counts, np.concatenate(sizes), np.concatenate(centers))


def _cluster_class(
    samples: Sequence[Sample],
    labels: Sequence[np.ndarray],
    class_id: int,
    count: int,
    folder: Path,
    clustering: Clustering,
) -> tuple[np.ndarray, np.ndarray]:
    """Cluster of each row of a class, `(rows,)` int, and the centres, `(count, channels)`."""
    path = folder / f"rows-{class_id}.npy"
    with storage_errors(path):
        try:
            rows = gather_rows(samples, labels, folder / "features", class_id, path)
            if len(rows) == 0:  # the class is thinner than the stride of the features
                return np.zeros(0, np.int64), np.zeros((count, rows.shape[1]), np.float32)
            if count == 1:
                return np.zeros(len(rows), np.int64), rows.mean(axis=0, dtype=np.float64)[None].astype(
                    np.float32
                )
            kmeans = BalancedKMeans(
                count,
                assignment=clustering.assignment,
                sample_size=clustering.sample_rows,
                random_state=clustering.seed,
            ).fit(rows)
            return kmeans.labels_, kmeans.cluster_centers_
        finally:
            path.unlink(missing_ok=True)


def _scatter(
    clusters: Sequence[np.ndarray], labels: Sequence[np.ndarray], class_id: int, assigned: np.ndarray
) -> None:
    start = 0
    for cluster, label in zip(clusters, labels, strict=True):
        chosen = label == class_id
        end = start + int(chosen.sum())
        cluster[chosen] = assigned[start:end]
        start = end
