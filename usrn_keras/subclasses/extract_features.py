"""Extract the decoder features of the labelled images to a feature store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.padding import fill_batch, padded_size
from usrn_keras.data.batches.whole_images import padded_batches
from usrn_keras.errors import DivergedError
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_balance import Clustering
from usrn_keras.subclasses.feature_grid import (
    MaskSurvey,
    choose_cells,
    contains_nan,
    feature_size,
    half_precision,
    survey_masks,
)
from usrn_keras.subclasses.feature_store import FeatureStore, check_space

if TYPE_CHECKING:
    import keras

FEATURES = "features"  # folder of the store in the folder of the stage
CHUNK_IMAGES = 32  # images whose features a worker process computes at once
SizedSample = tuple[Sample, tuple[int, int]]  # an image with its height and width
Blocks = list[list[np.ndarray]]  # of each image, the rows for each file of the store
RemoteBlocks = Callable[[Sequence[Sequence[SizedSample]], str], Iterator[Blocks]]
"""Function of chunks of images and the hash of the model, which yields the blocks of each chunk in order."""


def extract_features(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    *,
    workers: int = 2,
    remote: RemoteBlocks | None = None,
    progress: Progress = SILENT,
) -> tuple[MaskSurvey, FeatureStore]:
    """Extract the decoder features of all labelled images to disk, in evaluation mode without augmentation.

    An interrupted call is resumed, and the files are equal to those of an uninterrupted call. A store of
    other images, masks, weights or options is deleted.

    Args:
        model: Model from images `(batch, height, width, bands)` to features at stride 4
            (`Branch.feature_model`).
        dataset: Data set whose labelled images are used.
        folder: Folder of the stage; the store is `folder/features`.
        clustering: Options; `rows_per_image`, `seed` and `batch` are used.
        workers: Number of threads that read files.
        remote: Function that lets worker processes compute the missing features; None: this process.
        progress: Progress, which counts masks and images and logs the size of the store.

    Returns:
        The survey of the masks, and the store, with the images in the same order.

    Raises:
        StorageError: The disk has too little space. Raised before the first image.
        DataError: An image or mask cannot be read.
        DivergedError: A feature is NaN.
    """
    survey = survey_masks(
        dataset, limit=clustering.rows_per_image, seed=clustering.seed, workers=workers, progress=progress
    )
    channels = int(model.output_shape[-1])
    key = {
        "masks": survey.digest,
        "model": weights_digest(model),
        "rows_per_image": clustering.rows_per_image,
        "seed": clustering.seed,
        "batch": clustering.batch,  # the last digits of features depend on it
        "padding": "mean colour of the image",  # other versions used another padding
    }
    place = folder / FEATURES
    store = FeatureStore(place, channels=channels, classes=len(dataset.classes), key=key)
    images = len(survey.samples)
    if store.images < images:
        need = check_space(place, int(survey.rows.sum()), channels, stored=int(store.counts.sum()))
        progress.log(f"features of {images} images: {need} in {place}")
        with progress.task("features", total=images, done=store.images) as task:
            listed = list(zip(survey.samples, survey.sizes, strict=True))
            batches = whole_batches(survey.sizes, clustering.batch)
            if remote is None:
                missing = [batch for batch in batches if batch.start >= store.images]
                found = feature_blocks(
                    half_precision(model), listed[store.images :], dataset, clustering, workers
                )
            else:
                missing, found = _from_workers(remote, listed, batches, store.images, key["model"])
            for batch, blocks in zip(missing, found, strict=True):
                store.append([sample.name for sample, _ in listed[batch.start : batch.stop]], blocks)
                task.advance(len(batch))
    return survey, store


def weights_digest(model: keras.Model) -> str:
    """Compute a hash of the weights of a model."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()


def image_features(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Compute the features of padded images.

    Args:
        model: Network that `half_precision` returned.
        images: Padded images `(batch, height, width, bands)` uint8.

    Returns:
        `(batch, height / 4, width / 4, channels)` float16.

    Raises:
        DivergedError: A feature is NaN.
    """
    features = np.ascontiguousarray(model.predict_on_batch(images))
    if contains_nan(features):
        raise DivergedError(
            "the features of the Baseline contain NaN",
            hint="Its training diverged: lower training.learning_rate and start a new run.",
        )
    return features


def whole_batches(sizes: Sequence[tuple[int, int]], batch: int) -> list[range]:
    """Positions of the images of each batch: up to `batch` consecutive images of equal padded size.

    Args:
        sizes: Height and width of each image.
        batch: Largest number of images in a batch.

    Example:

    >>> whole_batches([(30, 40), (31, 40), (32, 40), (320, 40)], 2)
    [range(0, 2), range(2, 3), range(3, 4)]
    """
    batches, start = [], 0
    for place in range(1, len(sizes) + 1):
        full = place - start == batch
        if full or place == len(sizes) or padded_size(sizes[place]) != padded_size(sizes[start]):
            batches.append(range(start, place))
            start = place
    return batches


def feature_blocks(
    model: keras.Model,
    listed: Sequence[SizedSample],
    dataset: Dataset,
    clustering: Clustering,
    workers: int,
) -> Iterator[Blocks]:
    """Compute the rows of images, batch by batch as `whole_batches` groups them.

    Args:
        model: Network that `half_precision` returned.
        listed: Images with their sizes, from the first one of a batch.
        dataset: Data set that defines the values of masks.
        clustering: Options; `rows_per_image`, `seed` and `batch` are used.
        workers: Number of threads that read files.
    """
    first = 0
    samples = [sample for sample, _ in listed]
    for images, masks in padded_batches(samples, dataset, clustering.batch, workers):
        found = image_features(model, fill_batch(images, clustering.batch))[: len(images)]
        blocks = []
        for (sample, size), mask, features in zip(listed[first:], masks, found, strict=False):
            cells = choose_cells(
                mask[: size[0], : size[1]],
                len(dataset.classes),
                name=sample.name,
                limit=clustering.rows_per_image,
                seed=clustering.seed,
            )
            blocks.append([grid_rows(features, size)[kept] for kept in cells.kept])
        first += len(images)
        yield blocks


def _from_workers(
    remote: RemoteBlocks, listed: Sequence[SizedSample], batches: Sequence[range], stored: int, digest: str
) -> tuple[list[range], Iterator[Blocks]]:
    """The batches that are not stored yet, and their blocks.

    The chunks are those of the whole list, so that an interrupted call finds what workers have computed.
    """
    chunks: list[list[range]] = []
    for batch in batches:
        if not chunks or batch.stop - chunks[-1][0].start > CHUNK_IMAGES:
            chunks.append([])
        chunks[-1].append(batch)
    missing = [chunk for chunk in chunks if chunk[-1].stop > stored]

    def blocks() -> Iterator[Blocks]:
        asked = [listed[chunk[0].start : chunk[-1].stop] for chunk in missing]
        for chunk, found in zip(missing, remote(asked, digest), strict=True):
            for batch in chunk:
                if batch.start >= stored:
                    start = batch.start - chunk[0].start
                    yield found[start : start + len(batch)]

    return [batch for chunk in missing for batch in chunk if batch.start >= stored], blocks()


def grid_rows(features: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Remove the padding from the features of an image: `(feature pixels, channels)`."""
    rows, columns = feature_size(size)
    return features[:rows, :columns].reshape(-1, features.shape[-1])
