"""Write sublabel maps of all labelled images: the subclass of every labelled pixel, as lossless PNG."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.batches.whole_images import padded_batches
from usrn_keras.files import atomic_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_balance import Clustering
from usrn_keras.subclasses.class_clusters import ClassClusters
from usrn_keras.subclasses.extract_features import grid_rows, image_features
from usrn_keras.subclasses.feature_grid import FEATURE_STRIDE, Cells, MaskSurvey, choose_cells, half_precision
from usrn_keras.subclasses.feature_store import FeatureStore
from usrn_keras.subclasses.subclass_map import SubclassMap

if TYPE_CHECKING:
    import keras


def sublabel_map(
    mask: np.ndarray,
    clusters: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    subclasses: SubclassMap,
) -> np.ndarray:
    """Compute the subclass of every pixel of an image, whose parent always equals the label of the pixel.

    The map of clusters is upsampled by nearest neighbour. If its parent disagrees with the label at full
    resolution (borders, thin objects), the pixel gets the subclass of its label whose center is nearest to
    the feature at this position. (The official code keeps the disagreement.)

    Args:
        mask: Class ids `(height, width)`; values outside the classes are ignored.
        clusters: Subclass ids `(ceil(height / 4), ceil(width / 4))`, -1 where ignored.
        features: Function from flat indices `(n,)` of feature pixels to their features `(n, channels)`,
            called only for feature pixels with a disagreement.
        subclasses: Subclasses of all classes.

    Returns:
        `(height, width)` int32, -1 where the label is ignored.
    """
    height, width = mask.shape
    rows, columns = np.arange(height) // FEATURE_STRIDE, np.arange(width) // FEATURE_STRIDE
    sublabels = clusters[np.ix_(rows, columns)].astype(np.int32)
    labelled = (mask >= 0) & (mask < len(subclasses.classes))
    parents = np.append(subclasses.parents, -1)  # index -1: ignored
    differs = labelled & (parents[sublabels] != mask)
    if differs.any():
        cells = (rows[:, None] * clusters.shape[1] + columns)[differs]
        sublabels[differs] = _nearest(cells, mask[differs], features, subclasses)
    sublabels[~labelled] = -1
    return sublabels


def cheapest_subclass(
    features: np.ndarray, class_id: int, subclasses: SubclassMap, *, priced: bool
) -> np.ndarray:
    """Assign features of a class to its subclasses.

    A feature belongs to the subclass of least `|x - c|^2`, plus the price of the subclass with `priced`: then
    a feature that was not clustered is assigned as in the clustering (`BalancedKMeans.predict`).

    Args:
        features: Features `(n, channels)`.
        class_id: Class of the features; it has subclasses.
        subclasses: Subclasses of all classes.
        priced: Whether to add the prices.

    Returns:
        Subclass ids `(n,)`.
    """
    own = subclasses.of_class(class_id)
    centers = subclasses.centers[own]
    # float32 differences would cancel far from the origin.
    origin = centers.mean(axis=0, dtype=np.float64).astype(np.float32)
    centers, rows = ((x - origin).astype(np.float32) for x in (centers, features))
    costs = (centers**2).sum(axis=1) - 2 * rows @ centers.T
    if priced:
        costs = costs + subclasses.prices[own]
    return costs.argmin(axis=1) + own.start


def write_sublabels(path: Path, sublabels: np.ndarray, total: int) -> None:
    """Write a sublabel map atomically: 8 bits (255 is ignored), or 16 bits (65535) above 254 subclasses."""
    dtype, ignored = (np.uint8, 255) if total <= 254 else (np.uint16, 65535)
    with atomic_path(path) as temporary:
        Image.fromarray(np.where(sublabels < 0, ignored, sublabels).astype(dtype)).save(temporary)


def _nearest(
    cells: np.ndarray,
    labels: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    subclasses: SubclassMap,
) -> np.ndarray:
    """Find the subclass of class `labels[i]` nearest to the feature of feature pixel `cells[i]`."""
    result = np.empty(len(cells), np.int32)
    for class_id in np.unique(labels):
        chosen = labels == class_id
        unique, inverse = np.unique(cells[chosen], return_inverse=True)
        found = cheapest_subclass(features(unique), int(class_id), subclasses, priced=False)
        result[chosen] = found[inverse]
    return result


def sublabel_file(folder: Path, sample: Sample) -> Path:
    """Path of the sublabel map of a sample."""
    return folder / "sublabels" / f"{sample.name}.png"


@dataclass(frozen=True, eq=False)
class SublabelMaps:
    """Builds sublabel maps from clustered features.

    Args:
        dataset: Data set whose labelled images get maps.
        survey: Survey of their masks.
        store: Features of the images.
        clusters: Clusters of each class, in the order of the rows of the store.
        subclasses: The same clusters as numbered subclasses.
        clustering: Options; `rows_per_image` and `seed` are used.
        folder: Folder of the stage; the maps are `folder/sublabels/NAME.png`.
    """

    dataset: Dataset
    survey: MaskSurvey
    store: FeatureStore
    clusters: Sequence[ClassClusters]
    subclasses: SubclassMap
    clustering: Clustering
    folder: Path

    def write(self, model: keras.Model, *, workers: int = 2, progress: Progress = SILENT) -> None:
        """Write the missing maps.

        Args:
            model: Model from images to features, used for images whose features are not stored completely.
            workers: Number of threads that read images and write maps.
            progress: Progress, which counts images.
        """
        images = range(len(self.survey.samples))
        missing = [i for i in images if not sublabel_file(self.folder, self.survey.samples[i]).exists()]
        whole = [i for i in missing if self.survey.complete[i]]
        parts = [i for i in missing if not self.survey.complete[i]]
        with progress.task("sublabel maps", total=len(images), done=len(images) - len(missing)) as task:
            stored = ordered_map(self._write_stored, whole, workers=workers, ahead=2 * workers)
            for _ in itertools.chain(stored, self._write_computed(model, parts, workers)):
                task.advance()

    def _write_stored(self, image: int) -> None:
        """Write the map of an image whose features are stored completely."""
        mask = read_mask(self.survey.samples[image].mask, self.dataset)
        cells = self._cells(image, mask)
        self._write(image, mask, self._clusters(image, cells), StoredFeatures(self.store, image, cells))

    def _write_computed(self, model: keras.Model, images: Sequence[int], workers: int) -> Iterator[None]:
        """Write the maps of images whose features are stored in part, from recomputed features."""
        samples = [self.survey.samples[image] for image in images]
        # In batches of one, so that the features of an image do not depend on the maps that exist already.
        read = padded_batches(samples, self.dataset, 1, workers)
        halves = half_precision(model)
        for image, (pixels, masks) in zip(images, read, strict=True):
            size = self.survey.sizes[image]
            mask = masks[0, : size[0], : size[1]]
            features = grid_rows(image_features(halves, pixels)[0], size)
            cells = self._cells(image, mask)
            clusters = self._clusters(image, cells)
            self._add_dropped(clusters, cells, features)
            self._write(image, mask, clusters, features.__getitem__)
            yield

    def _cells(self, image: int, mask: np.ndarray) -> Cells:
        options = {"limit": self.clustering.rows_per_image, "seed": self.clustering.seed}
        return choose_cells(mask, len(self.dataset.classes), name=self.survey.samples[image].name, **options)

    def _clusters(self, image: int, cells: Cells) -> np.ndarray:
        """Subclass of each clustered feature pixel, -1 for the others."""
        clusters = np.full(cells.labels.shape, -1, np.int32)
        for class_id, (found, kept) in enumerate(zip(self.clusters, cells.kept[:-1], strict=True)):
            own = found.labels[self.store.block(image, class_id)]
            clusters.reshape(-1)[kept] = own + self.subclasses.first[class_id]
        return clusters

    def _add_dropped(self, clusters: np.ndarray, cells: Cells, features: np.ndarray) -> None:
        """Add the subclass of each feature pixel that has a class and was not clustered."""
        for class_id in range(len(self.dataset.classes)):
            dropped = np.flatnonzero((cells.labels == class_id) & (clusters < 0))
            if len(dropped):
                clusters.reshape(-1)[dropped] = cheapest_subclass(
                    features[dropped], class_id, self.subclasses, priced=True
                )

    def _write(self, image: int, mask: np.ndarray, clusters: np.ndarray, features: Callable) -> None:
        sublabels = sublabel_map(mask, clusters, features, self.subclasses)
        path = sublabel_file(self.folder, self.survey.samples[image])
        write_sublabels(path, sublabels, self.subclasses.total)


class StoredFeatures:
    """Reads features of one image from the store, by the flat index of a feature pixel."""

    def __init__(self, store: FeatureStore, image: int, cells: Cells):
        self.store = store
        self.file = np.full(cells.labels.size, -1, np.int16)
        self.row = np.zeros(cells.labels.size, np.int64)
        for number, kept in enumerate(cells.kept):
            self.file[kept] = number
            self.row[kept] = np.arange(len(kept)) + store.block(image, number).start

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """Read the features `(n, channels)` float16 at the indices `(n,)`, which must be stored."""
        found = np.empty((len(cells), self.store.channels), np.float16)
        for number in np.unique(self.file[cells]):
            chosen = self.file[cells] == number
            found[chosen] = self.store.rows(number)[self.row[cells[chosen]]]
        return found
