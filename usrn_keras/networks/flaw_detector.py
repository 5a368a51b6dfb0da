"""The flaw detector of GCT: finds the pixels that a network predicts wrongly."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from usrn_keras.backends import run_graph

Tensor = Any

EPSILON = 1e-5
SLOPE = 0.2  # of the leaky ReLU
STAGES = ((1, 2), (2, 2), (2, 1), (4, 2), (4, 1), (8, 2), (8, 1))  # width and stride of each convolution
SMALLEST = 64  # pixels on a side of an image, one value of the output
# The mean colour of ImageNet and its deviation, for RGB in 0..255.
MEAN, DEVIATION = np.float32([123.675, 116.28, 103.53]), np.float32([58.395, 57.12, 57.375])


@keras.saving.register_keras_serializable(package="usrn_keras")
class BatchInstanceNormalization(layers.Layer):
    """Normalises the first half of the channels over the batch and the others over each image.

    The first half has batch normalisation with scale and offset, the second half instance normalisation
    without.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.over_batch = layers.BatchNormalization(momentum=0.9, epsilon=EPSILON)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.half = (input_shape[-1] + 1) // 2
        self.over_batch.build((*input_shape[:-1], self.half))

    def call(self, maps: Tensor, training: bool | None = None) -> Tensor:
        first = self.over_batch(maps[..., : self.half], training=training)
        second = maps[..., self.half :]
        mean = ops.mean(second, axis=(1, 2), keepdims=True)
        variance = ops.mean(ops.square(second - mean), axis=(1, 2), keepdims=True)
        return ops.concatenate([first, (second - mean) * ops.rsqrt(variance + EPSILON)], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape


def flaw_detector(classes: int, *, width: int = 64, bands: int = 3) -> keras.Model:
    """Build the flaw detector, without the enlargement of its output (see `detect_flaws`).

    Seven convolutions of 4 x 4 with `BatchInstanceNormalization` and leaky ReLU, of 1, 2, 2, 4, 4, 8 and 8
    times `width` channels, and one to a single channel; their total stride is 32.

    Args:
        classes: Number of classes.
        width: Number of channels of the first convolution.
        bands: Number of bands of the images.

    Returns:
        A model from normalised images and probabilities `(batch, height, width, bands + classes)` to flaws
        `(batch, height / 32, width / 32, 1)` float32, about. Images must have 64 pixels on each side.

    Example:

    >>> tuple(flaw_detector(21, width=4)(ops.zeros((1, 96, 96, 24))).shape)
    (1, 2, 2, 1)
    """
    inputs = keras.Input((None, None, bands + classes), dtype="float32")

    def convolve(x: Any, channels: int, stride: int) -> Any:
        x = layers.ZeroPadding2D(1)(x)
        options = {"kernel_initializer": "he_normal", "dtype": "float32"}
        return layers.Conv2D(channels, 4, strides=stride, **options)(x)

    x = inputs
    for factor, stride in STAGES:
        x = convolve(x, factor * width, stride)
        x = layers.LeakyReLU(SLOPE, dtype="float32")(BatchInstanceNormalization(dtype="float32")(x))
    return keras.Model(inputs, convolve(x, 1, 2), name="flaw_detector")


def detect_flaws(detector: keras.Model, images: Tensor, probabilities: Tensor) -> Tensor:
    """Compute the flaws of predictions, in training mode as in the official code.

    Args:
        detector: Model of `flaw_detector`.
        images: Images `(batch, height, width, bands)` float32 in 0..255; three are RGB, others are normalised
            by the mean over the colours.
        probabilities: Predictions `(batch, height, width, classes)`.

    Returns:
        Flaws `(batch, height, width)` float32, about 0 where a prediction is right and 1 where it is wrong;
        the output of the detector, enlarged bilinearly with aligned corners.

    Raises:
        ValueError: An image has fewer than 64 pixels on a side.
    """
    if min(images.shape[1:3]) < SMALLEST:
        height, width = images.shape[1:3]
        raise ValueError(
            f"`images` must have at least {SMALLEST} pixels on each side for the flaw detector, received "
            f"{height} x {width}"
        )
    is_rgb = images.shape[-1] == len(MEAN)
    mean, deviation = (ops.convert_to_tensor(one if is_rgb else one.mean()) for one in (MEAN, DEVIATION))
    normalised = (images - mean) / deviation
    found = run_graph(detector, ops.concatenate([normalised, probabilities], axis=-1), training=True)[..., 0]
    rows, columns = (
        ops.convert_to_tensor(_aligned(size, small))
        for size, small in zip(images.shape[1:3], found.shape[1:3], strict=True)
    )
    return ops.matmul(ops.matmul(rows, found), ops.transpose(columns))


def _aligned(size: int, small: int) -> np.ndarray:
    """Weight of each of `small` values in each of `size` places, with aligned corners; rows sum to 1."""
    place = np.arange(size) * ((small - 1) / (size - 1))
    return np.maximum(1 - np.abs(place[:, None] - np.arange(small)), 0).astype("float32")
