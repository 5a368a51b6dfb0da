"""Predict images and write their files: threads read and write while the network computes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.decoding.images import read_image
from usrn_keras.data.sample_images import as_rgb
from usrn_keras.errors import DataError, OutOfMemoryError
from usrn_keras.evaluation.predictor import Inference, Predictor, inference_of
from usrn_keras.files import atomic_path
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.networks import load_segmenter
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.bands import Bands, parse_bands
from usrn_keras.report.pictures import labels_png, overlay_png
from usrn_keras.runs import Run

Found = tuple[np.ndarray, np.ndarray | None]  # class ids, and their probabilities if they are asked for


@dataclass(frozen=True)
class Job:
    """An image to segment and the files to write; `confidence` is None if it is not asked for."""

    image: Path
    labels: Path
    overlay: Path
    confidence: Path | None = None

    @property
    def targets(self) -> list[Path]:
        """The files to write."""
        return [path for path in (self.labels, self.overlay, self.confidence) if path]


@dataclass(frozen=True, eq=False)
class Rendering:
    """How images are read and predictions are coloured.

    Args:
        palette: Colour of each class, `(classes, 3)` uint8.
        value_range: Lowest and highest value of image files of 16 bits; None for all values.
        bands: Bands that are read; None for red, green and blue.
        workers: Number of threads that read images, and of threads that write files.
    """

    palette: np.ndarray
    value_range: tuple[int, int] | None = None
    bands: Bands | None = None
    workers: int = 2


def rendering_of(run: Run) -> Rendering:
    """How images are read and predictions are coloured in a run."""
    data = run.recipe.data
    return Rendering(run.palette, data.value_range or None, parse_bands(data.bands), max(2, data.workers))


def run_predictor(run: Run, model: Path | None = None, *, mode: str | None = None) -> Predictor:
    """Create the predictor of a model, with the options of prediction of the recipe of its run.

    Args:
        run: Complete run.
        model: Path of the `.keras` file; None for the final model.
        mode: `whole` or `slide`; None for that of the recipe.
    """
    options = inference_of(run.recipe, {"mode": mode})
    batch = predictor_batch(run.recipe, options)
    return Predictor(load_segmenter(model or run.model_path), options, batch=batch)


def predictor_batch(recipe: Recipe, options: Inference) -> int:
    """Number of windows predicted at once, or 1 image: a larger batch would be filled up with blank ones."""
    return recipe.evaluation.batch if options.mode == "slide" else 1


def predict_jobs(
    predictor: Predictor,
    jobs: Sequence[Job],
    rendering: Rendering,
    *,
    wrote: Callable[[Job], None] = lambda job: None,
    computed: Callable[[int], None] = lambda images: None,
) -> Iterator[str]:
    """Predict images one after the other, while threads read the next ones and write the previous ones.

    Args:
        predictor: Predictor of the model.
        jobs: Images, and the files to write.
        rendering: How images are read and predictions are coloured.
        wrote: Called in a thread with each job whose files are written.
        computed: Called with 1 for each job that is done.

    Yields:
        For each job, "" when its files are written, or why its image cannot be read.

    Raises:
        StorageError: A file cannot be written.
    """

    def read(job: Job) -> np.ndarray | str:
        try:
            return read_image(job.image, value_range=rendering.value_range, bands=rendering.bands)
        except DataError as error:
            return error.message

    def predict(job: Job, image: np.ndarray | str) -> tuple[Job, np.ndarray | str, Found | None]:
        if isinstance(image, str):
            return job, image, None
        with _memory_explained(job.image, image, predictor):
            if job.confidence:
                return job, image, predictor.ids_and_confidence(image)
            return job, image, (predictor.ids(image), None)  # a byte a pixel

    def write(predicted: tuple[Job, np.ndarray | str, Found | None]) -> str:
        job, image, found = predicted
        if found is None:
            return image
        labels, shares = found
        if job.confidence:
            _write(job.confidence, grey_png(shares))
        _write(job.labels, labels_png(labels, rendering.palette))
        _write(job.overlay, overlay_png(as_rgb(image, rendering.bands), labels, rendering.palette))
        wrote(job)
        return ""

    images = ordered_map(read, jobs, workers=rendering.workers, ahead=rendering.workers)
    predicted = (predict(job, image) for job, image in zip(jobs, images, strict=True))
    for problem in ordered_map(write, predicted, workers=rendering.workers, ahead=rendering.workers + 1):
        computed(1)
        yield problem


@contextlib.contextmanager
def _memory_explained(path: Path, image: np.ndarray, predictor: Predictor) -> Iterator[None]:
    """Name the image, and what needs less memory, if memory runs out in the block."""
    try:
        yield
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
        height, width = image.shape[:2]
        whole = predictor.options.mode == "whole"
        raise OutOfMemoryError(
            f"memory ran out: {path} has {width} x {height} pixels, predicted as {predictor.options.line()}",
            hint="Predict it in windows: --mode slide."
            if whole
            else "Close other programs, or reduce the image.",
        ) from error


def grey_png(shares: np.ndarray) -> bytes:
    """A PNG of grey values: shares `(height, width)` in 0..1, rounded to 255 steps."""
    return cv2.imencode(".png", np.rint(255 * shares).astype(np.uint8))[1].tobytes()


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
