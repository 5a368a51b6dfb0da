"""Evaluation by worker processes: each counts the pixels of some images, and the counts are added."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.chunks import ChunkAnswers, DaskPool, Work, chunk_size, cut, map_chunks
from usrn_keras.data import Dataset, Sample
from usrn_keras.evaluation.evaluate import (
    EvaluationResult,
    ImageScore,
    evaluate_with,
    provenance_of,
)
from usrn_keras.evaluation.predictor import Inference
from usrn_keras.evaluation.shared_model import describe_predictor, described_predictor
from usrn_keras.metrics import Scores
from usrn_keras.progress import SILENT, Progress

TARGET = "usrn_keras.evaluation.evaluate_in_chunks:count_chunk"


def evaluate_in_chunks(
    pool: DaskPool,
    file: Path,
    samples: Sequence[Sample],
    dataset: Dataset,
    *,
    name: str,
    options: Inference,
    batch: int = 1,
    workers: int = 2,
    boundary: bool = True,
    checkpoint: str = "last",
    progress: Progress = SILENT,
) -> EvaluationResult:
    """`evaluate` by worker processes; the result is that of one process.

    The counts of each chunk are kept in the cache folder until all are there, so that the same call after an
    interruption computes only what is missing.

    Args:
        pool: Worker processes, which see the same files.
        file: The `.keras` file of the model.
        samples: Images with masks.
        dataset: Data set that defines the classes of the masks.
        name: Name of the scores.
        options: Options of prediction.
        batch: Number of images of equal padded size, or of windows, predicted at once.
        workers: Number of threads of each process that read images.
        boundary: Whether to compute the Boundary IoU.
        checkpoint: Name of the weights, for the provenance of the scores.
        progress: Progress bar, counts images.

    Raises:
        DataError: An image or mask cannot be read, or their sizes differ.
        SchedulerError: The workers cannot be reached any more.
    """
    model = describe_predictor(file, options, batch)
    masks = replace(dataset, labelled=(), unlabelled=(), val=(), test=())  # how masks are read, without lists
    work = Work(
        TARGET,
        {"model": model, "dataset": masks, "workers": workers, "boundary": boundary},
        cut(samples, chunk_size(len(samples), batch)),
        key=[model, _meaning(masks), boundary],
        files=lambda sample: [sample.image, sample.mask],
    )
    answers = ChunkAnswers.cached("evaluate", model["file"], checkpoint)
    confusion, outlines, images = 0, 0, []
    with progress.task(f"evaluating {name}", total=len(samples)) as task:
        for answer in map_chunks(pool, work, answers, keras.backend.backend(), computed=task.advance):
            found = json.loads(answer)
            confusion = confusion + np.array(found["confusion"], np.int64)
            outlines = outlines + np.array(found["boundary"] or 0, np.int64)
            images += found["images"]
    answers.clear()
    provenance = provenance_of(samples, dataset, options, checkpoint)
    outlines = outlines if boundary else None
    scores = Scores(name, dataset.classes, confusion, boundary=outlines, provenance=provenance)
    rows = zip(samples, images, strict=True)
    return EvaluationResult(scores, tuple(ImageScore(sample, *values) for sample, values in rows))


def count_chunk(common: Mapping[str, Any], samples: Sequence[Sample]) -> bytes:
    """Evaluate the images of a chunk, in a worker process.

    Args:
        common: Description of the model, the meaning of masks, and settings of `evaluate`.
        samples: Images with masks.

    Returns:
        JSON: `confusion`, `boundary`, and mIoU and pixel accuracy of each of the `images`.
    """
    predictor, dataset = described_predictor(common["model"]), common["dataset"]
    settings = {key: common[key] for key in ("workers", "boundary")}
    found = evaluate_with(predictor, samples, dataset, **settings)
    images = [[image.miou, image.pixel_accuracy] for image in found.images]
    outlines = None if found.scores.boundary is None else found.scores.boundary.tolist()
    counts = {"confusion": found.scores.confusion.tolist(), "boundary": outlines, "images": images}
    return json.dumps(counts).encode()


def _meaning(dataset: Dataset) -> dict[str, Any]:
    """How masks are read, as JSON values."""
    fields = {key: value for key, value in asdict(dataset).items() if key not in ("name", "palette")}
    return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in fields.items()}
