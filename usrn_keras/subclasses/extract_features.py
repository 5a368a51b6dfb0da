"""Extract the decoder features of the labelled images to a feature store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.batches.padding import fill_batch
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


def extract_features(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    *,
    workers: int = 2,
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
            for batch in _batches(half_precision(model), survey, dataset, store, clustering, workers):
                task.advance(batch)
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


def _batches(
    model: keras.Model,
    survey: MaskSurvey,
    dataset: Dataset,
    store: FeatureStore,
    clustering: Clustering,
    workers: int,
) -> Iterator[int]:
    """Store the missing features; yields the number of images of each batch."""
    # The store ends with a complete batch, so the batches are those of an uninterrupted call.
    remaining = survey.samples[store.images :]
    for images, masks in padded_batches(remaining, dataset, clustering.batch, workers):
        first = store.images
        samples, sizes = (listed[first : first + len(images)] for listed in (survey.samples, survey.sizes))
        found = image_features(model, fill_batch(images, clustering.batch))[: len(images)]
        blocks = []
        for sample, size, mask, features in zip(samples, sizes, masks, found, strict=True):
            cells = choose_cells(
                mask[: size[0], : size[1]],
                len(dataset.classes),
                name=sample.name,
                limit=clustering.rows_per_image,
                seed=clustering.seed,
            )
            blocks.append([grid_rows(features, size)[kept] for kept in cells.kept])
        store.append([sample.name for sample in samples], blocks)
        yield len(images)


def grid_rows(features: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Remove the padding from the features of an image: `(feature pixels, channels)`."""
    rows, columns = feature_size(size)
    return features[:rows, :columns].reshape(-1, features.shape[-1])
