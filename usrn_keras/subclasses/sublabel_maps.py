"""Sublabel maps of all labelled images: the subclass of every labelled pixel, as lossless PNG."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.data.whole_images import padded_batches
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
    """Subclass of every pixel of an image; its parent is the pixel's label, always.

    The map of clusters is upsampled by nearest neighbour. Where its parent disagrees with the
    label at full resolution (borders, thin objects), the pixel takes the subclass of its own
    class whose centre is nearest to the feature at that place. (The official code keeps the
    disagreement.)

    Args:
        mask: `(height, width)` class ids; values outside the classes are ignored.
        clusters: `(ceil(height / 4), ceil(width / 4))` subclass ids, -1 where ignored.
        features: Gives the features `(n, channels)` at the flat indices `(n,)` of feature pixels; asked
            for those alone that hold a disagreement.
        subclasses: The subclasses.

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
    """The subclass of a class that each feature belongs to, `(n,)` ids.

    That of least `|x - c|^2`, plus the price of the subclass where `priced`: then a feature that
    was not clustered joins the subclass that it would have had (`BalancedKMeans.predict`).

    Args:
        features: `(n, channels)`.
        class_id: The class; it has subclasses.
        subclasses: The subclasses.
        priced: Whether prices count.
    """
    own = subclasses.of_class(class_id)
    centers = subclasses.centers[own]
    origin = centers.mean(axis=0, dtype=np.float64).astype(np.float32)  # far from it, float32 would cancel
    centers, rows = ((x - origin).astype(np.float32) for x in (centers, features))
    costs = (centers**2).sum(axis=1) - 2 * rows @ centers.T
    if priced:
        costs = costs + subclasses.prices[own]
    return costs.argmin(axis=1) + own.start


def write_sublabels(path: Path, sublabels: np.ndarray, total: int) -> None:
    """Write a sublabel map atomically: 8 bits (255 is ignored), 16 bits (65535) above 254 subclasses."""
    dtype, ignored = (np.uint8, 255) if total <= 254 else (np.uint16, 65535)
    with atomic_path(path) as temporary:
        Image.fromarray(np.where(sublabels < 0, ignored, sublabels).astype(dtype)).save(temporary)


def _nearest(
    cells: np.ndarray,
    labels: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    subclasses: SubclassMap,
) -> np.ndarray:
    """The nearest subclass of class `labels[i]` to the feature of cell `cells[i]`."""
    result = np.empty(len(cells), np.int32)
    for class_id in np.unique(labels):
        chosen = labels == class_id
        unique, inverse = np.unique(cells[chosen], return_inverse=True)
        found = cheapest_subclass(features(unique), int(class_id), subclasses, priced=False)
        result[chosen] = found[inverse]
    return result


def sublabel_file(folder: Path, sample: Sample) -> Path:
    """Where the sublabel map of a sample is kept."""
    return folder / "sublabels" / f"{sample.name}.png"


@dataclass(frozen=True, eq=False)
class SublabelMaps:
    """Makes sublabel maps from clustered features.

    Args:
        dataset: The images are its labelled ones.
        survey: Of their masks.
        store: Their features.
        clusters: Of each class, in the order of the rows of the store.
        subclasses: The same clusters, numbered through.
        clustering: `rows_per_image` and `seed` apply.
        folder: The maps are `folder/sublabels/NAME.png`.
    """

    dataset: Dataset
    survey: MaskSurvey
    store: FeatureStore
    clusters: Sequence[ClassClusters]
    subclasses: SubclassMap
    clustering: Clustering
    folder: Path

    def write(self, model: keras.Model, *, workers: int = 2, progress: Progress = SILENT) -> None:
        """Write the maps that are not there yet.

        Args:
            model: Gives the features of images that were stored in part.
            workers: Threads that read, and write the maps of images that were stored as a whole.
            progress: Counts images.
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
        """The map of an image all of whose features are stored."""
        mask = read_mask(self.survey.samples[image].mask, self.dataset)
        cells = self._cells(image, mask)
        self._write(image, mask, self._clusters(image, cells), StoredFeatures(self.store, image, cells))

    def _write_computed(self, model: keras.Model, images: Sequence[int], workers: int) -> Iterator[None]:
        """The maps of images of which some features were dropped, from features made again."""
        samples = [self.survey.samples[image] for image in images]
        # One by one: so the features of an image do not depend on the maps that were there before.
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
        """Subclass of each feature pixel that was clustered, -1 elsewhere."""
        clusters = np.full(cells.labels.shape, -1, np.int32)
        for class_id, (found, kept) in enumerate(zip(self.clusters, cells.kept[:-1], strict=True)):
            own = found.labels[self.store.block(image, class_id)]
            clusters.reshape(-1)[kept] = own + self.subclasses.first[class_id]
        return clusters

    def _add_dropped(self, clusters: np.ndarray, cells: Cells, features: np.ndarray) -> None:
        """Fill in the subclass of each feature pixel that has a class and was not clustered."""
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
    """Features of one image by flat index of a feature pixel, read from the store."""

    def __init__(self, store: FeatureStore, image: int, cells: Cells):
        self.store = store
        self.file = np.full(cells.labels.size, -1, np.int16)
        self.row = np.zeros(cells.labels.size, np.int64)
        for number, kept in enumerate(cells.kept):
            self.file[kept] = number
            self.row[kept] = np.arange(len(kept)) + store.block(image, number).start

    def __call__(self, cells: np.ndarray) -> np.ndarray:
        """Features `(n, channels)` float16 at the indices `(n,)`, all of which were stored."""
        found = np.empty((len(cells), self.store.channels), np.float16)
        for number in np.unique(self.file[cells]):
            chosen = self.file[cells] == number
            found[chosen] = self.store.rows(number)[self.row[cells[chosen]]]
        return found
