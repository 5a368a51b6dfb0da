"""Measuring a model on whole images: one confusion matrix over all of their pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import numpy as np

from usrn_keras.data import Dataset, Sample, load_dataset, read_sample
from usrn_keras.data.padding import pad_map_to_stride, pad_to_stride
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.errors import DataError
from usrn_keras.metrics import ConfusionModel
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import SILENT, Progress
from usrn_keras.report import Scores


def evaluate(
    segmenter: keras.Model,
    samples: Sequence[Sample],
    dataset: Dataset,
    *,
    name: str = "model",
    batch: int = 1,
    workers: int = 2,
    progress: Progress = SILENT,
) -> Scores:
    """Scores of a model on whole images of any size, padded (never cropped or resized).

    Args:
        segmenter: Images `(batch, height, width, 3)`, RGB in 0..255, to logits.
        samples: Images with masks.
        dataset: Says what the masks mean.
        name: Heading of the scores.
        batch: Images of equal padded size evaluated at once.
        workers: Threads that read.
        progress: Counts images.

    Returns:
        The scores from the cumulative confusion matrix, int64.

    Raises:
        DataError: An image or mask cannot be read or does not fit.
    """
    model = ConfusionModel(segmenter, len(dataset.classes))
    total = np.zeros((len(dataset.classes),) * 2, dtype=np.int64)
    with progress.task(f"evaluating {name}", total=len(samples)) as task:
        for images, labels in padded_batches(samples, dataset, batch, workers):
            total += np.asarray(model.predict_on_batch([images, labels])).astype(np.int64).sum(axis=0)
            task.advance(len(images))
    return Scores(name, dataset.classes, total)


def padded_batches(
    samples: Sequence[Sample], dataset: Dataset, batch: int, workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images `(b, h, w, 3)` uint8 and labels `(b, h, w)` int32; neighbours of equal size share a batch."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    read = ordered_map(
        lambda sample: _read_padded(sample, dataset), samples, workers=workers, ahead=2 * batch
    )
    for image, label in read:
        if images and (len(images) == batch or images[0].shape != image.shape):
            yield np.stack(images), np.stack(labels)
            images, labels = [], []
        images.append(image)
        labels.append(label)
    if images:
        yield np.stack(images), np.stack(labels)


def _read_padded(sample: Sample, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    image, mask = read_sample(sample, dataset)
    labels = mask.astype(np.int32)
    labels[labels == dataset.ignore_index] = -1
    return pad_to_stride(image), pad_map_to_stride(labels, fill=-1)


def evaluate_run(
    run_dir: Path | str,
    *,
    split: str | None = None,
    model: str = "usrn",
    progress: Progress = SILENT,
) -> Scores:
    """Scores of a model of a run folder.

    Args:
        run_dir: Folder of a run.
        split: `val` or `test`; by default what the run's recipe says.
        model: `usrn` or `baseline`.
        progress: Counts images.

    Raises:
        RunError: The folder is no run, or the model is not trained yet.
        DataError: The split is empty or cannot be read.
    """
    from usrn_keras.runs import open_run

    run = open_run(run_dir)
    dataset = load_dataset(run.recipe.data)
    split = split or run.recipe.evaluation.split
    samples = getattr(dataset, split)
    if not samples:
        raise DataError(
            f"{run_dir}: the data set {dataset.name} has no {split} images", hint="Choose another --split."
        )
    segmenter = load_segmenter(run.model_file(model))
    options = {"batch": run.recipe.evaluation.batch, "workers": run.recipe.data.workers}
    return evaluate(segmenter, samples, dataset, name=model, progress=progress, **options)
