"""Decoder features of an image: their grid, and what class each of them belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

FEATURE_STRIDE = 4
LARGEST = 65504.0  # of float16


def feature_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the feature map that covers an image."""
    return -(-size[0] // FEATURE_STRIDE), -(-size[1] // FEATURE_STRIDE)


def feature_labels(mask: np.ndarray) -> np.ndarray:
    """The label of every feature pixel: that of the label pixel nearest to its centre.

    Args:
        mask: `(height, width)` ids.

    Returns:
        `(ceil(height / 4), ceil(width / 4))` ids.
    """
    rows, columns = (
        np.minimum(np.arange(count) * FEATURE_STRIDE + FEATURE_STRIDE // 2, size - 1)
        for count, size in zip(feature_size(mask.shape), mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def holds_label(mask: np.ndarray, classes: int) -> np.ndarray:
    """Whether any pixel under a feature pixel has a class.

    Args:
        mask: `(height, width)` class ids; values outside 0 to `classes - 1` are ignored.
        classes: Number of classes.

    Returns:
        `(ceil(height / 4), ceil(width / 4))` bool.
    """
    labelled = (mask >= 0) & (mask < classes)
    for axis, size in enumerate(mask.shape):
        labelled = np.logical_or.reduceat(labelled, np.arange(0, size, FEATURE_STRIDE), axis=axis)
    return labelled


def half_precision(model: keras.Model) -> keras.Model:
    """A network whose features are float16, converted on the device.

    They are clipped to the range of float16, 65504: a network may exceed it, clusters must not. NaN stays
    NaN.
    """
    from keras import Model, ops

    clipped = ops.clip(ops.cast(model.output, "float32"), -LARGEST, LARGEST)
    return Model(model.input, ops.cast(clipped, "float16"), name="half_precision_features")


def holds_nan(halves: np.ndarray) -> bool:
    """Whether any of float16 numbers, contiguous in memory, is NaN; `np.isnan` takes them one by one."""
    return bool(((halves.view(np.uint16) & 0x7FFF) > 0x7C00).any())
