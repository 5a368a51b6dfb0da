"""The confusion matrix, counted on the device."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def confusion_matrices(labels: Any, predictions: Any, classes: int) -> Any:
    """Confusion matrix of every image of a batch, on any backend, under jit.

    `keras.metrics.MeanIoU` loops over pixels on torch and drops ids that are out of range.

    Args:
        labels: `(batch, height, width)` int; pixels outside `0..classes - 1` are ignored.
        predictions: `(batch, height, width)` int in `0..classes - 1`.
        classes: C.

    Returns:
        `(batch, C, C)` int32; entry `[b, i, j]` counts the pixels of class i predicted as j.

    Example:

    >>> import numpy as np
    >>> labels, predictions = np.array([[[0, 1, 255]]]), np.array([[[0, 0, 1]]])
    >>> ops.convert_to_numpy(confusion_matrices(labels, predictions, 2)).tolist()
    [[[1, 0], [1, 0]]]
    """
    labels, predictions = ops.cast(labels, "int32"), ops.cast(predictions, "int32")
    batch, cells = ops.shape(labels)[0], classes * classes + 1  # the last cell takes ignored pixels
    valid = ops.logical_and(labels >= 0, labels < classes)
    cell = ops.where(valid, labels * classes + predictions, cells - 1)
    cell = cell + ops.reshape(ops.arange(batch, dtype="int32") * cells, (-1, 1, 1))
    flat = ops.reshape(cell, (-1,))
    counts = ops.segment_sum(ops.ones_like(flat), flat, num_segments=batch * cells)
    counts = ops.reshape(counts, (batch, cells))[:, : classes * classes]
    return ops.reshape(counts, (batch, classes, classes))


class ConfusionModel(keras.Model):
    """A segmenter that answers with confusion matrices, so that logits never leave the device.

    Args:
        segmenter: Images `(batch, height, width, 3)` to logits `(batch, height, width, classes)`.
        classes: Number of classes.

    Example:

    >>> segmenter = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 1)])
    >>> import numpy as np
    >>> images, labels = np.zeros((1, 4, 4, 3), "uint8"), np.zeros((1, 4, 4), "int32")
    >>> ConfusionModel(segmenter, 2).predict_on_batch([images, labels]).sum()
    np.int32(16)
    """

    def __init__(self, segmenter: keras.Model, classes: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.segmenter = segmenter
        self.classes = classes
        self.built = True
        # XLA on TensorFlow too: without it dilated convolutions are about ten times slower on a CPU.
        self.compile(jit_compile=keras.backend.backend() != "torch")

    def call(self, inputs: list[Any]) -> Any:
        images, labels = inputs
        logits = self.segmenter(images, training=False)
        return confusion_matrices(labels, ops.argmax(logits, axis=-1), self.classes)

    def get_config(self) -> dict[str, Any]:
        segmenter = keras.saving.serialize_keras_object(self.segmenter)
        return super().get_config() | {"segmenter": segmenter, "classes": self.classes}
