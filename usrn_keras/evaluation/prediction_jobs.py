"""Predict images and write their files: threads read and write while the network computes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.batches.prefetch import ByteBudget, ordered_map
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.data.sample_images import as_rgb
from usrn_keras.errors import DataError, OutOfMemoryError
from usrn_keras.evaluation.memory_needed import MemoryCheck
from usrn_keras.evaluation.predictor import Inference, Predictor, inference_of, scaled, scaled_size
from usrn_keras.files import atomic_path
from usrn_keras.memory_errors import ran_out_of_memory
from usrn_keras.networks import load_segmenter
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.bands import Bands, parse_bands
from usrn_keras.report.pictures import labels_png, overlay_png
from usrn_keras.runs import Run

IN_FLIGHT = 2**28  # bytes of the images that are read, predicted or written at the same time
HOST_BYTES = 16  # for each pixel of an image: image, padded and coloured copy, class ids, encoded files
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
        max_side: Longest side in pixels in which images are predicted; larger images are reduced, and their
            class ids enlarged to the size of the image. 0 for no limit.
    """

    palette: np.ndarray
    value_range: tuple[int, int] | None = None
    bands: Bands | None = None
    workers: int = 2
    max_side: int = 0

    def predicted_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width in which an image of a height and width is predicted."""
        return scaled_size(size, self._scale(size))

    def reduced(self, image: np.ndarray) -> np.ndarray:
        """The image in the size in which it is predicted, `(height, width, bands)` uint8."""
        return scaled(image, self._scale(image.shape[:2]))

    def _scale(self, size: tuple[int, int]) -> float:
        return min(1.0, self.max_side / max(size)) if self.max_side else 1.0


def rendering_of(run: Run, *, max_side: int = 0) -> Rendering:
    """How images are read and predictions are coloured in a run."""
    data = run.recipe.data
    bands = parse_bands(data.bands)
    return Rendering(run.palette, data.value_range or None, bands, max(2, data.workers), max_side)


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

    check = MemoryCheck(predictor, host_bytes=HOST_BYTES, less=_what_needs_less(predictor))
    budget = ByteBudget(IN_FLIGHT)
    sizes: dict[Job, tuple[int, int]] = {}

    def cost(job: Job) -> int:
        with contextlib.suppress(DataError):  # `read` says what is wrong
            sizes[job] = image_size(job.image, rendering.bands)
        return HOST_BYTES * math.prod(sizes.get(job, (0, 0)))

    def read(job: Job) -> np.ndarray | str:
        try:
            return read_image(job.image, value_range=rendering.value_range, bands=rendering.bands)
        except DataError as error:
            return error.message

    def predict(job: Job, image: np.ndarray | str) -> tuple[Job, np.ndarray | str, Found | None]:
        if isinstance(image, str):
            return job, image, None
        check.validate(job.image, rendering.predicted_size(image.shape[:2]))
        with _memory_explained(job.image, image, predictor):
            reduced = rendering.reduced(image)
            if job.confidence:
                return job, image, predictor.ids_and_confidence(reduced)
            return job, image, (predictor.ids(reduced), None)  # a byte a pixel

    def write(predicted: tuple[Job, np.ndarray | str, Found | None]) -> str:
        job, image, found = predicted
        try:
            return image if found is None else write_files(job, image, *found)
        finally:
            budget.give_back(HOST_BYTES * math.prod(sizes.pop(job, (0, 0))))

    def write_files(job: Job, image: np.ndarray, labels: np.ndarray, shares: np.ndarray | None) -> str:
        labels = enlarged(labels, image.shape[:2])
        if job.confidence:
            _write(job.confidence, grey_png(enlarged(shares, image.shape[:2])))
        _write(job.labels, labels_png(labels, rendering.palette))
        _write(job.overlay, overlay_png(as_rgb(image, rendering.bands), labels, rendering.palette))
        wrote(job)
        return ""

    images = ordered_map(
        read, jobs, workers=rendering.workers, ahead=rendering.workers, budget=budget, cost=cost
    )
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
        raise OutOfMemoryError(
            f"memory ran out: {path} has {width} x {height} pixels, predicted as {predictor.options.line()}",
            hint=_what_needs_less(predictor),
        ) from error


def _what_needs_less(predictor: Predictor) -> str:
    reduced = "at a reduced size: --max-side 2048"
    if predictor.options.mode == "whole":
        return f"Predict it in windows: --mode slide; or {reduced}."
    return f"Close other programs, or predict it {reduced}."


def enlarged(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge class ids or confidences `(height, width)` to a height and width: the nearest of each pixel.

    Example:

    >>> enlarged(np.array([[1, 2]]), (2, 4)).tolist()
    [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    if values.shape == tuple(size):
        return values
    rows, columns = (
        (np.arange(large) + 0.5) * small // large for large, small in zip(size, values.shape, strict=True)
    )
    return values[np.ix_(rows.astype(int), columns.astype(int))]


def grey_png(shares: np.ndarray) -> bytes:
    """A PNG of grey values: shares `(height, width)` in 0..1, rounded to 255 steps."""
    return cv2.imencode(".png", np.rint(255 * shares).astype(np.uint8))[1].tobytes()


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
