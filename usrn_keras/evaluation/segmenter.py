"""A trained segmenter for use from Python: load a run or a file, and predict images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.backends import cache_programs
from usrn_keras.data.decoding.images import read_image
from usrn_keras.data.mask_values import voc_palette
from usrn_keras.errors import DataError
from usrn_keras.evaluation.predictor import WHOLE, Inference, Predictor, inference_of
from usrn_keras.networks import load_segmenter
from usrn_keras.recipe.bands import RGB, Bands, parse_bands
from usrn_keras.runs import open_run


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Prediction of one image.

    Attributes:
        classes: Class id of each pixel, `(height, width)` int32.
        confidence: Probability of that class, `(height, width)` float32 in 0..1.
        colours: Colour of that class, `(height, width, 3)` uint8 RGB.
    """

    classes: np.ndarray
    confidence: np.ndarray
    colours: np.ndarray


class Segmenter:
    """A trained network with the names and colours of its classes, see `load`.

    The first prediction of a padded size compiles one program on JAX and TensorFlow. A call of the Keras
    model itself, `segmenter.model(images)`, compiles one for every layer and shape on JAX.

    Args:
        model: Network from images `(batch, height, width, bands)` in 0..255 to logits.
        names: Name of each class.
        palette: Colour of each class, `(classes, 3)` uint8.
        options: Options of prediction.
        value_range: Lowest and highest value of image files of 16 bits; None for all values.
        bands: Bands of image files; None for red, green and blue.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> brightest_channel = keras.Model(images, keras.layers.Rescaling(1.0)(images))
    >>> segmenter = Segmenter(brightest_channel, ["red", "green", "blue"], np.eye(3, dtype="uint8") * 255)
    >>> found = segmenter.predict(np.array([[[0, 9, 0], [70, 0, 1]]], np.uint8))
    >>> found.classes.tolist(), found.confidence.round(3).tolist(), found.colours.tolist()
    ([[1, 0]], [[1.0, 1.0]], [[[0, 255, 0], [255, 0, 0]]])
    """

    def __init__(
        self,
        model: keras.Model,
        names: Sequence[str],
        palette: np.ndarray,
        options: Inference = WHOLE,
        value_range: tuple[int, int] | None = None,
        bands: Bands | None = None,
    ):
        self.model = model
        self.names = tuple(names)
        self.palette = np.asarray(palette, np.uint8)
        self.options = options
        self.value_range = value_range
        self.bands = bands
        self._predictor = Predictor(model, options)

    def predict(self, images: Any) -> Segmentation | list[Segmentation]:
        """Predict one image or several, of any size.

        Args:
            images: An image, `(height, width, bands)` uint8 or the path of a file; or several: a list of
                them, or `(n, height, width, bands)` uint8. Three bands are RGB, unless the run has others.

        Returns:
            The prediction of the image, or a list of them.

        Raises:
            DataError: An image has another shape or type, or its file cannot be read.
        """
        if isinstance(images, (str, Path)):
            return self._predict(self._read(Path(images)))
        if isinstance(images, (list, tuple)):
            return [self.predict(image) for image in images]
        images = np.asarray(images)
        if images.ndim == 4:
            return [self._predict(image) for image in images]
        return self._predict(images)

    def _read(self, path: Path) -> np.ndarray:
        if self.bands is None and self._channels != RGB.count:
            raise DataError(
                f"the model takes images of {self._channels} bands, and its file does not say which bands of "
                f"{path} these are",
                hint="Load the folder of the run, or read the bands and pass an array.",
            )
        return read_image(path, value_range=self.value_range, bands=self.bands)

    @property
    def _channels(self) -> int:
        return self.model.inputs[0].shape[-1]

    def _predict(self, image: np.ndarray) -> Segmentation:
        channels = self._channels
        if image.ndim != 3 or image.shape[-1] != channels or image.dtype != np.uint8:
            are_rgb = self.bands.are_rgb if self.bands else channels == RGB.count
            names = f" ({', '.join(self.bands.names)})" if self.bands else ""
            what = "RGB" if are_rgb else f"of {channels} bands{names}"
            raise DataError(
                f"an image must be {what}, (height, width, {channels}) uint8 in 0..255, received the shape "
                f"{image.shape} of {image.dtype}",
                hint="Convert images in 0..1: (255 * image).round().astype('uint8').",
            )
        ids, confidence = self._predictor.ids_and_confidence(image)
        return Segmentation(ids, confidence, self.palette[ids])


def load(source: Path | str, **options: Any) -> Segmenter:
    """Load a trained segmenter for prediction.

    On JAX, compiled programs are kept in the cache folder, so that the first prediction of the next process
    is faster; `JAX_COMPILATION_CACHE_DIR` chooses another folder.

    Args:
        source: Folder of a complete run, or its `model.keras` file alone. A run gives the names and colours
            of the classes, and predicts as its recipe evaluates; a file gives numbers as names, the colours
            of PASCAL VOC, and whole images.
        **options: Fields of `usrn_keras.evaluation.Inference` that replace those of the run: `mode`,
            `window`, `overlap`, `flip`, `scales`.

    Raises:
        RunError: The run is not complete.
        WeightsError: The file is missing or damaged.
        RecipeError: The options are out of range.

    Example:

    >>> segmenter = load("runs/quickstart")                               # doctest: +SKIP
    >>> found = segmenter.predict("photo.jpg")                            # doctest: +SKIP
    >>> segmenter.names[found.classes[0, 0]], found.confidence.mean()     # doctest: +SKIP
    ('grass', 0.94)
    """
    cache_programs()
    if Path(source).is_dir():
        run = open_run(source)
        model = load_segmenter(run.model_path)
        value_range = tuple(run.recipe.data.value_range) or None
        inference, bands = inference_of(run.recipe, options), parse_bands(run.recipe.data.bands)
        return Segmenter(model, run.classes, run.palette, inference, value_range, bands)
    model = load_segmenter(source)
    classes = model.output_shape[-1]
    return Segmenter(model, [str(one) for one in range(classes)], voc_palette(classes), Inference(**options))
