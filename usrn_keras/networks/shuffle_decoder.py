"""The light decoder of CCT: a 1x1 convolution to the classes, then upsampling by pixel shuffles."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import layers, ops

Tensor = Any


@keras.saving.register_keras_serializable(package="usrn_keras")
class ShuffleDecoder(layers.Layer):
    """Maps features to logits at a higher resolution, in float32 for every precision.

    A 1x1 convolution without bias reduces the features to `classes` channels. Each of `shuffles` steps then
    doubles height and width: a 1x1 convolution to four times the channels, ReLU, and a pixel shuffle.

    Args:
        channels: Number of channels of the features.
        classes: Number of classes.
        shuffles: Number of steps.
        **kwargs: Further arguments of `keras.layers.Layer`.

    Input `(batch, height, width, channels)`, output
    `(batch, 2^shuffles height, 2^shuffles width, classes)` float32.

    Example:

    >>> tuple(ShuffleDecoder(8, classes=3, shuffles=2)(ops.zeros((1, 5, 7, 8))).shape)
    (1, 20, 28, 3)
    """

    def __init__(self, channels: int, classes: int, shuffles: int, **kwargs: Any):
        super().__init__(**({"dtype": "float32"} | kwargs))
        self.channels, self.classes, self.shuffles = channels, classes, shuffles
        # A 1x1 convolution is a dense layer of each pixel.
        dense = partial(layers.Dense, kernel_initializer="he_normal", dtype="float32")
        self.convolutions = [dense(classes, use_bias=False), *(dense(4 * classes) for _ in range(shuffles))]
        for layer, inputs in zip(self.convolutions, [channels, *[classes] * shuffles], strict=True):
            layer.build((None, None, None, inputs))
        self.built = True

    @property
    def weight_list(self) -> list[keras.Variable]:
        """The weights as `shuffle_decode` takes them: the first kernel, then kernel and bias of each step."""
        return [variable for layer in self.convolutions for variable in layer.trainable_variables]

    @property
    def products(self) -> int:
        """Number of multiplications in a pass, for each position of the features."""
        kernels = [layer.kernel for layer in self.convolutions]
        # The first convolution and the first step have the size of the features; each step doubles it.
        times = [1, *(4**number for number in range(self.shuffles))]
        return sum(count * math.prod(kernel.shape) for count, kernel in zip(times, kernels, strict=True))

    def draw_weights(self, rng: np.random.Generator) -> None:
        """Draw the initial weights on the host, the four channels of a pixel shuffle alike.

        Equal channels begin as nearest upsampling, without a checkerboard (ICNR, arXiv 1707.02937).

        Args:
            rng: Random generator.
        """
        for number, layer in enumerate(self.convolutions):
            inputs = layer.kernel.shape[0]
            kernel = rng.standard_normal((inputs, self.classes)) * (2 / inputs) ** 0.5
            layer.kernel.assign(kernel.repeat(4 if number else 1, axis=1).astype("float32"))

    def call(self, features: Tensor) -> Tensor:
        return shuffle_decode(ops.cast(features, "float32"), *self.weight_list)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        sides = [None if side is None else side * 2**self.shuffles for side in input_shape[1:3]]
        return (input_shape[0], *sides, self.classes)

    def get_config(self) -> dict[str, Any]:
        own = {"channels": self.channels, "classes": self.classes, "shuffles": self.shuffles}
        return super().get_config() | own


def shuffle_decode(features: Tensor, *weights: Tensor) -> Tensor:
    """Compute `ShuffleDecoder` from its weights.

    Args:
        features: Features `(batch, height, width, channels)`.
        *weights: Kernel `(channels, classes)`, then kernel `(classes, 4 classes)` and bias `(4 classes,)` of
            each step. Channel `4 c + 2 i + j` is channel `c` of row `i` and column `j`.

    Returns:
        `(batch, 2^n height, 2^n width, classes)` with n steps.
    """
    x = ops.matmul(features, weights[0])
    for kernel, bias in zip(weights[1::2], weights[2::2], strict=True):
        x = _pixel_shuffle(ops.relu(ops.matmul(x, kernel) + bias))
    return x


def _pixel_shuffle(x: Tensor) -> Tensor:
    """`(batch, h, w, 4 c)` -> `(batch, 2 h, 2 w, c)`; Keras' `depth_to_space` has the classes last."""
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, height, width, channels // 4, 2, 2))
    x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
    return ops.reshape(x, (-1, 2 * height, 2 * width, channels // 4))
