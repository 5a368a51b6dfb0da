"""Evaluation of a model on whole images: one confusion matrix over all of their pixels."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.prefetch import ByteBudget, ordered_map
from usrn_keras.data.batches.whole_images import WholeImage, batches_by_size, read_whole
from usrn_keras.data.sample_images import sample_size
from usrn_keras.errors import DataError
from usrn_keras.evaluation.memory_needed import MemoryCheck
from usrn_keras.evaluation.predictor import WHOLE, Inference, Predictor
from usrn_keras.metrics import Provenance, Scores, confusion_matrix
from usrn_keras.metrics.boundary_counts import boundary_counts
from usrn_keras.progress import SILENT, Progress

IN_FLIGHT = 2**28  # bytes of the images that are read ahead, and as many of those whose pixels are counted
PIXEL_BYTES = 12  # of an image, its labels and its class ids
LESS_MEMORY = 'Predict windows: --mode slide (in a recipe, evaluation.mode = "slide").'
SPLITS = ("val", "test", "labelled", "unlabelled")


@dataclass(frozen=True)
class ImageScore:
    """Scores of a single image, to find the worst images. Do not average them.

    Attributes:
        sample: The image.
        miou: Mean IoU of the classes in the label, NaN if no pixel has a class.
        pixel_accuracy: Share of the pixels that were predicted correctly.
    """

    sample: Sample
    miou: float
    pixel_accuracy: float

    @classmethod
    def of(cls, sample: Sample, classes: Sequence[str], confusion: np.ndarray) -> ImageScore:
        """Compute the scores of an image from its confusion matrix, `(classes, classes)`."""
        scores = Scores(sample.name, classes, confusion)
        return cls(sample, scores.miou, scores.pixel_accuracy)


@dataclass(frozen=True)
class EvaluationResult:
    """Scores of a model on a split.

    Attributes:
        scores: Scores over all pixels of all images.
        images: Scores of each image, in the order of the split.
    """

    scores: Scores
    images: tuple[ImageScore, ...]


def evaluate(
    segmenter: keras.Model,
    samples: Sequence[Sample],
    dataset: Dataset,
    *,
    name: str = "model",
    options: Inference = WHOLE,
    batch: int = 1,
    workers: int = 2,
    boundary: bool = True,
    checkpoint: str = "last",
    progress: Progress = SILENT,
) -> EvaluationResult:
    """Evaluate a model on images of any size, which are padded, never cropped.

    Args:
        segmenter: Network from images `(batch, height, width, bands)` in 0..255, to logits.
        samples: Images with masks.
        dataset: Data set that defines the classes of the masks.
        name: Name of the scores.
        options: Options of prediction.
        batch: Number of images of equal padded size, or of windows, predicted at once.
        workers: Number of threads that read images, and of threads that count pixels.
        boundary: Whether to compute the Boundary IoU.
        checkpoint: Name of the weights, for the provenance of the scores.
        progress: Progress bar, counts images.

    Returns:
        The scores over all images, with their provenance, and the scores of each image.

    Raises:
        DataError: An image or mask cannot be read, or their sizes differ.
        OutOfMemoryError: An image needs more memory than there is.
    """
    predictor = Predictor(segmenter, options, batch=batch)
    settings = {"workers": workers, "boundary": boundary, "checkpoint": checkpoint, "progress": progress}
    return evaluate_with(predictor, samples, dataset, name=name, **settings)


def evaluate_with(
    predictor: Predictor,
    samples: Sequence[Sample],
    dataset: Dataset,
    *,
    name: str = "model",
    workers: int = 2,
    boundary: bool = True,
    checkpoint: str = "last",
    progress: Progress = SILENT,
    seen: Callable[[WholeImage, np.ndarray], None] = lambda item, ids: None,
    check_memory: bool = True,
) -> EvaluationResult:
    """`evaluate` with a predictor that is used for other images, too.

    While the network predicts, threads read the next images and count the pixels of the previous ones. They
    call `seen` with each image and its predicted class ids `(height, width)`. `check_memory` is false for
    models of other runtimes, whose memory is not known.
    """

    def count(predicted: tuple[WholeImage, np.ndarray]) -> tuple[Sample, np.ndarray, np.ndarray | int]:
        seen(*predicted)
        return _count(*predicted, classes, boundary)

    classes, batch = len(dataset.classes), predictor.batch
    confusion, outlines = np.zeros((classes, classes), np.int64), np.zeros((classes, 2), np.int64)
    images: dict[Sample, ImageScore] = {}
    read = _read_ahead(samples, dataset, workers, 2 * batch)
    check = MemoryCheck(predictor, host_bytes=PIXEL_BYTES, less=LESS_MEMORY) if check_memory else None
    counting, costs = ByteBudget(IN_FLIGHT), {}
    with progress.task(f"evaluating {name}", total=len(samples)) as task:
        counts = ordered_map(
            count,
            _predicted(predictor, read, check),
            workers=workers,
            ahead=workers + batch,
            budget=counting,
            cost=lambda predicted: costs.setdefault(
                predicted[0].sample, PIXEL_BYTES * predicted[0].labels.size
            ),
        )
        for sample, its_confusion, its_outlines in counts:
            counting.give_back(costs[sample])
            confusion += its_confusion
            outlines += its_outlines
            images[sample] = ImageScore.of(sample, dataset.classes, its_confusion)
            task.advance()
    provenance = provenance_of(samples, dataset, predictor.options, checkpoint)
    outlines = outlines if boundary else None
    scores = Scores(name, dataset.classes, confusion, boundary=outlines, provenance=provenance)
    return EvaluationResult(scores, tuple(images[sample] for sample in samples))


def samples_of(dataset: Dataset, split: str, asked_by: Path | str) -> tuple[Sample, ...]:
    """The samples of `val` or `test`; raises a `DataError` that starts with `asked_by` if there are none."""
    samples = getattr(dataset, split)
    if not samples:
        raise DataError(
            f"{asked_by}: the data set {dataset.name} has no {split} images", hint="Choose another --split."
        )
    return samples


def _read_ahead(
    samples: Sequence[Sample], dataset: Dataset, workers: int, ahead: int
) -> Iterator[WholeImage]:
    """Read images ahead, as many as fit into the budget; large ones one at a time."""
    budget, costs = ByteBudget(IN_FLIGHT), {}

    def cost(sample: Sample) -> int:
        with contextlib.suppress(DataError):  # reading says what is wrong
            costs[sample] = PIXEL_BYTES * math.prod(sample_size(sample))
        return costs.setdefault(sample, 0)

    for item in read_whole(samples, dataset, workers=workers, ahead=ahead, budget=budget, cost=cost):
        budget.give_back(costs[item.sample])
        yield item


def _predicted(
    predictor: Predictor, read: Iterable[WholeImage], check: MemoryCheck | None
) -> Iterator[tuple[WholeImage, np.ndarray]]:
    """Each image with the class ids of its pixels, not necessarily in the order of reading."""
    for group in batches_by_size(read, predictor.batch):
        if check is not None:
            check.validate(group[0].sample.image, group[0].labels.shape)
        yield from zip(group, predictor.ids_of([item.image for item in group]), strict=True)


def _count(
    item: WholeImage, predictions: np.ndarray, classes: int, boundary: bool
) -> tuple[Sample, np.ndarray, np.ndarray | int]:
    confusion = confusion_matrix(item.labels, predictions, classes)
    return item.sample, confusion, boundary_counts(item.labels, predictions, classes) if boundary else 0


def provenance_of(
    samples: Sequence[Sample], dataset: Dataset, options: Inference, checkpoint: str
) -> Provenance:
    """Describe what scores are measured on: data set, list, number of images, fingerprint and options.

    Args:
        samples: Evaluated images.
        dataset: Data set that they belong to; if they are one of its lists, it is named.
        options: Options of prediction.
        checkpoint: Checkpoint of the model, `last` or `best`.
    """
    lists = [split for split in SPLITS if getattr(dataset, split) == tuple(samples)]
    split = lists[0] if lists else "some"
    return Provenance(dataset.name, split, len(samples), dataset.fingerprint(), options.line(), checkpoint)
