"""Measuring a model on whole images: one confusion matrix over all of their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from usrn_keras.data import Dataset, Sample, load_dataset
from usrn_keras.data.batches.whole_images import padded_batches
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
