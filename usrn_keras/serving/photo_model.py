"""Segment the bytes of one photo, with everything that a page shows of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.images import decode_image
from usrn_keras.data.sample_images import as_rgb
from usrn_keras.errors import DataError
from usrn_keras.evaluation.prediction_jobs import run_predictor
from usrn_keras.recipe.bands import Bands, parse_bands
from usrn_keras.runs import open_run
from usrn_keras.serving.upload_limits import UploadLimits

Answer = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class SegmentedPhoto:
    """A photo with its prediction.

    Attributes:
        name: Name of the file.
        image: Photo as the page shows it, `(height, width, 3)` uint8 RGB.
        ids: Class id of each pixel, `(height, width)` int32.
        confidence: Probability of that class, `(height, width)` float32 in 0..1.
        notes: Harmless peculiarities of the file, one sentence each.
        seconds: Time to decode and predict.
    """

    name: str
    image: np.ndarray
    ids: np.ndarray
    confidence: np.ndarray
    notes: tuple[str, ...]
    seconds: float


class PhotoModel:
    """A trained model that segments the bytes of photos.

    Args:
        name: Name of the model on the page.
        classes: Name of each class.
        palette: Colour of each class, `(C, 3)` uint8 RGB.
        answer: Function from an image, `(height, width, bands)` uint8, to its class ids `(height, width)`
            int32 and their probabilities `(height, width)` float32.
        value_range: Lowest and highest value of image files of 16 bits; None for all values.
        bands: Bands of the images that the model reads; None for red, green and blue.

    Example:

    >>> import cv2
    >>> def brightest(image):
    ...     return image.argmax(axis=-1), image.max(axis=-1) / 255
    >>> model = PhotoModel("brightest", ["red", "green", "blue"], 255 * np.eye(3, dtype="uint8"), brightest)
    >>> png = cv2.imencode(".png", np.uint8([[[0, 255, 0], [255, 0, 0]]]))[1]  # blue, green, red
    >>> model.segment("two.png", png.tobytes()).ids
    array([[1, 2]])
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        palette: np.ndarray,
        answer: Answer,
        value_range: Sequence[int] | None = None,
        bands: Bands | None = None,
    ):
        self.name = name
        self.classes = tuple(classes)
        self.palette = np.asarray(palette, np.uint8)
        self.value_range, self.bands = value_range, bands
        self._answer = answer

    def segment(self, name: str, content: bytes, limits: UploadLimits | None = None) -> SegmentedPhoto:
        """Decode a photo as `usrn predict` reads files, and predict it.

        Args:
            name: Name of the file, for messages.
            content: Bytes of the file.
            limits: Limits of the photo, which are checked before it is decoded; None without limits.

        Raises:
            DataError: The file is empty, damaged, no image of a format that is read, or above the limits.
        """
        if not content:
            raise DataError(f"{name} is empty")
        start = time.perf_counter()
        data = np.frombuffer(content, np.uint8)
        facts = read_facts(name, data)
        if limits:
            limits.check_pixels(name, *facts.size)
        image = decode_image(name, data, value_range=self.value_range, bands=self.bands)
        ids, confidence = self._answer(image)
        return SegmentedPhoto(
            name, as_rgb(image, self.bands), ids, confidence, facts.warnings, time.perf_counter() - start
        )


def load_photo_model(run_dir: Path | str, *, mode: str | None = None) -> PhotoModel:
    """Load the model of a run, which predicts as `usrn predict` does.

    Args:
        run_dir: Folder of a complete run.
        mode: `whole` or `slide`; None for that of the recipe.

    Raises:
        RunError: The run is not complete.
        WeightsError: Its model cannot be loaded.
    """
    run = open_run(Path(run_dir))
    data = run.recipe.data
    return PhotoModel(
        Path(run_dir).resolve().name,
        run.classes,
        run.palette,
        run_predictor(run, mode=mode).ids_and_confidence,
        data.value_range or None,
        parse_bands(data.bands),
    )
