"""From the labelled images to a full feature store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.padding import fill_batch
from usrn_keras.data.whole_images import padded_batches
from usrn_keras.errors import DivergedError
from usrn_keras.progress import SILENT, Progress
from usrn_keras.subclasses.class_balance import Clustering
from usrn_keras.subclasses.feature_grid import (
    MaskSurvey,
    choose_cells,
    feature_size,
    half_precision,
    holds_nan,
    survey_masks,
)
from usrn_keras.subclasses.feature_store import FeatureStore, check_space

if TYPE_CHECKING:
    import keras

FEATURES = "features"  # the folder of the store, within that of the stage


def stored_features(
    model: keras.Model,
    dataset: Dataset,
    folder: Path,
    clustering: Clustering,
    *,
    workers: int = 2,
    progress: Progress = SILENT,
) -> tuple[MaskSurvey, FeatureStore]:
    """Decoder features of all labelled images, without augmentation, in evaluation mode, on disk.

    What an interrupted call has stored is taken up; the files end up as those of one go. A store of
    other images, masks, weights or options is deleted.

    Args:
        model: Images `(batch, height, width, 3)` to features at stride 4 (`Branch.feature_model`).
        dataset: Its labelled images.
        folder: The store is `folder/features`.
        clustering: `rows_per_image`, `seed` and `batch` apply.
        workers: Threads that read.
        progress: Counts masks and images, and is told how large the store is.

    Returns:
        What the masks say, and the store, its images in the same order.

    Raises:
        StorageError: There is too little space, which is known before the first image.
        DataError: An image or mask cannot be read.
        DivergedError: A feature is not a number.
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
        "batch": clustering.batch,  # features differ in their last digits
        "padding": "mean colour of the image",  # it differed in earlier versions
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
    """Hash of the weights of a model."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()


def image_features(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Features of padded images by a network of `half_precision`, `(batch, height / 4, width / 4, channels)`.

    Raises:
        DivergedError: A feature is not a number.
    """
    features = np.ascontiguousarray(model.predict_on_batch(images))
    if holds_nan(features):
        raise DivergedError(
            "the Baseline gives features that are not numbers",
            hint="Its training has diverged: lower training.learning_rate and start a new run.",
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
    """Store what is missing; yields the number of images after each batch."""
    # What is stored ends with a batch, so that these are the batches that one go would have made.
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
    """The features of an image without its padding, `(feature pixels, channels)`."""
    rows, columns = feature_size(size)
    return features[:rows, :columns].reshape(-1, features.shape[-1])
