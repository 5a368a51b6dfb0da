"""From images to the class ids of their pixels, in any mode of `Inference`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.data.batches.padding import pad_to_stride
from usrn_keras.evaluation.inference import WHOLE, Inference
from usrn_keras.evaluation.resize import resized, scaled
from usrn_keras.evaluation.slide import slide


class Predictor:
    """Predicts the pixels of images of any size. For many images, make one: it compiles once.

    Args:
        segmenter: F alone, images `(batch, height, width, 3)` to logits.
        options: How to predict.
        batch: Windows predicted at once.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> brightest_channel = keras.Model(images, keras.layers.Rescaling(1.0)(images))
    >>> Predictor(brightest_channel).ids(np.array([[[0, 9, 3], [7, 0, 1]]], np.uint8)).tolist()
    [[1, 0]]
    """

    def __init__(self, segmenter: keras.Model, options: Inference = WHOLE, *, batch: int = 1):
        self.options = options
        self.batch = batch
        self._ids = PixelModel(segmenter, flip=options.flip, answer="ids")
        self._probabilities = PixelModel(segmenter, flip=options.flip, answer="probabilities")

    def ids(self, image: np.ndarray) -> np.ndarray:
        """Class ids (height, width) of an image (height, width, 3) uint8 RGB."""
        return self.ids_of([image])[0]

    def ids_of(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Class ids of several images, all of the same size once they are padded to multiples of 32."""
        if self.options.mode == "slide" or self.options.scales != (1.0,):
            return [self.probabilities(image).argmax(axis=-1) for image in images]
        padded = np.stack([pad_to_stride(image) for image in images])
        found = np.asarray(self._ids.predict_on_batch(padded))
        sizes = [image.shape[:2] for image in images]
        return [ids[:height, :width] for ids, (height, width) in zip(found, sizes, strict=True)]

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """The mean over all passes of the class probabilities, (height, width, C) float32.

        Args:
            image: (height, width, 3) uint8 RGB.
        """
        scales = self.options.scales
        passes = (resized(self._at_own_size(scaled(image, scale)), *image.shape[:2]) for scale in scales)
        return sum(passes) / np.float32(len(scales))

    def _at_own_size(self, image: np.ndarray) -> np.ndarray:
        options, predict = self.options, self._probabilities.predict_on_batch
        if options.mode == "slide":
            return slide(image, predict, window=options.window, overlap=options.overlap, batch=self.batch)
        height, width = image.shape[:2]
        return np.asarray(predict(pad_to_stride(image)[None]))[0, :height, :width]


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


class PixelModel(keras.Model):
    """A segmenter that answers with class ids or probabilities, computed on the device.

    Args:
        segmenter: Images `(batch, height, width, 3)` to logits.
        flip: Whether to take the mean of the probabilities with those of the mirrored images.
        answer: `ids`, (batch, height, width), or `probabilities`, (batch, height, width, C).
    """

    def __init__(self, segmenter: keras.Model, *, flip: bool, answer: str, **kwargs: Any):
        super().__init__(**kwargs)
        self.segmenter = segmenter
        self.flip = flip
        self.answer = answer
        self.built = True
        # XLA on TensorFlow too: without it dilated convolutions are about ten times slower on a CPU.
        self.compile(jit_compile=keras.backend.backend() != "torch")

    def call(self, images: Any) -> Any:
        scores = self.segmenter(images, training=False)
        if self.flip or self.answer == "probabilities":
            scores = ops.softmax(scores)
        if self.flip:
            mirrored = ops.softmax(self.segmenter(ops.flip(images, axis=2), training=False))
            scores = (scores + ops.flip(mirrored, axis=2)) / 2
        if self.answer == "probabilities":
            return scores
        # Few bytes leave the device.
        return ops.cast(ops.argmax(scores, axis=-1), "uint8" if scores.shape[-1] <= 256 else "int32")

    def get_config(self) -> dict[str, Any]:
        segmenter = keras.saving.serialize_keras_object(self.segmenter)
        return super().get_config() | {"segmenter": segmenter, "flip": self.flip, "answer": self.answer}
