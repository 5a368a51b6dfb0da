"""From images to the class ids of their pixels, in any mode of `Inference`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import keras
import numpy as np
from keras import ops

from usrn_keras.data.batches.padding import fill_batch, pad_image
from usrn_keras.evaluation.forward import Forward, Function, Network, Tensor
from usrn_keras.evaluation.inference import WHOLE, Inference
from usrn_keras.evaluation.resize import resized, scaled
from usrn_keras.evaluation.sliding_windows import slide


class Predictor:
    """Predicts the pixels of images of any size. For many images, make one: it compiles once for each
    size that images are padded to.

    Args:
        segmenter: F alone, images `(batch, height, width, 3)` to logits.
        options: How to predict.
        batch: Images or windows predicted at once. Fewer are filled up by blank ones.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> brightest_channel = keras.Model(images, keras.layers.Rescaling(1.0)(images))
    >>> Predictor(brightest_channel).ids(np.array([[[0, 9, 3], [7, 0, 1]]], np.uint8)).tolist()
    [[1, 0]]
    """

    def __init__(self, segmenter: keras.Model, options: Inference = WHOLE, *, batch: int = 1):
        self.options = options
        self.batch = batch
        self._ids = Forward(segmenter, pixel_answers(options.flip, "ids"))
        self._probabilities = Forward(segmenter, pixel_answers(options.flip, "probabilities"))

    def ids(self, image: np.ndarray) -> np.ndarray:
        """Class ids (height, width) of an image (height, width, 3) uint8 RGB."""
        return self.ids_of([image])[0]

    def ids_of(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Class ids of up to `batch` images that have the same `padded_size`."""
        if self.options.mode == "slide" or self.options.scales != (1.0,):
            return [found.argmax(axis=-1) for found in self._probabilities_of(images)]
        padded = np.stack([pad_image(image) for image in images])
        found = self._ids(fill_batch(padded, self.batch))[: len(images)]
        sizes = [image.shape[:2] for image in images]
        return [ids[:height, :width] for ids, (height, width) in zip(found, sizes, strict=True)]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """The mean over all passes of the class probabilities, (height, width, C) float32.

        Args:
            image: (height, width, 3) uint8 RGB.
        """
        return next(self._probabilities_of([image]))

    def _probabilities_of(self, images: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        scales = self.options.scales
        passes = [self._at_own_size(map(scaled, images, repeat(scale))) for scale in scales]
        for image, *found in zip(images, *passes, strict=True):
            total = sum(resized(values, *image.shape[:2]) for values in found)
            yield total / np.float32(len(scales))

    def _at_own_size(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        options, predict = self.options, self._probabilities
        if options.mode == "slide":
            window, overlap = options.window, options.overlap
            yield from slide(images, predict, window=window, overlap=overlap, batch=self.batch)
            return
        for image in images:
            height, width = image.shape[:2]
            yield predict(pad_image(image)[None])[0, :height, :width]


def predict_ids(segmenter: keras.Model, image: np.ndarray, options: Inference = WHOLE) -> np.ndarray:
    """Class ids of one image of any size; for several images, `Predictor` compiles once.

    Args:
        segmenter: F alone, images `(batch, height, width, 3)` to logits.
        image: (height, width, 3) uint8 RGB.
        options: How to predict.

    Returns:
        (height, width) integers.
    """
    return Predictor(segmenter, options).ids(image)


def pixel_answers(flip: bool, answer: str) -> Function:
    """What is asked of a segmenter about every pixel, computed on the device.

    Args:
        flip: Whether to take the mean of the probabilities with those of the mirrored images.
        answer: `ids`, (batch, height, width), or `probabilities`, (batch, height, width, C).
    """

    def answers(network: Network, images: Tensor) -> Tensor:
        scores = network(images)
        if flip or answer == "probabilities":
            scores = ops.softmax(scores)
        if flip:
            mirrored = ops.softmax(network(ops.flip(images, axis=2)))
            scores = (scores + ops.flip(mirrored, axis=2)) / 2
        if answer == "probabilities":
            return scores
        # Few bytes leave the device.
        return ops.cast(ops.argmax(scores, axis=-1), "uint8" if scores.shape[-1] <= 256 else "int32")

    return answers
