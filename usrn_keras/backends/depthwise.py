"""Depthwise convolutions as sums of shifted maps, which XLA computes on a CPU as one loop.

Its own depthwise convolution is slow there: at 48 x 48 x 128, batch 4, on one core, 48 ms instead of 1.1,
with gradients 113 ms instead of 33 (jax 0.10.2). https://github.com/jax-ml/jax/issues/23713
"""

from __future__ import annotations

from typing import Any

from keras import layers, ops

from usrn_keras.backends.convolution import same_padding
from usrn_keras.backends.graph_keras import by_keras, finish
from usrn_keras.backends.plan import Step

Tensor = Any


def by_taps(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """`keras.layers.DepthwiseConv2D`, a product and a sum for each tap of the kernel."""
    layer: layers.DepthwiseConv2D = step.layer
    x = ops.cast(inputs[0], layer.compute_dtype)
    if layer.depth_multiplier != 1 or layer.data_format != "channels_last" or None in x.shape[1:3]:
        return by_keras(step, inputs, training)
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    shifted = _shifted(x, layer)
    return finish(layer, sum(view * kernel[row, column, :, 0] for (row, column), view in shifted.items()))


def _shifted(x: Tensor, layer: layers.DepthwiseConv2D) -> dict[tuple[int, int], Tensor]:
    """What each tap of the kernel sees, `(batch, out height, out width, channels)`, by its row and column."""
    (height, width), strides, rates = layer.kernel_size, layer.strides, layer.dilation_rate
    if layer.padding == "same":
        sides = zip(x.shape[1:3], layer.kernel_size, strides, rates, strict=True)
        x = ops.pad(x, ((0, 0), *(same_padding(*side) for side in sides), (0, 0)))
    reach = [(taps - 1) * rate + 1 for taps, rate in zip(layer.kernel_size, rates, strict=True)]
    rows, columns = (
        (pixels - span) // stride * stride + 1
        for pixels, span, stride in zip(x.shape[1:3], reach, strides, strict=True)
    )
    return {
        (row, column): x[
            :,
            row * rates[0] : row * rates[0] + rows : strides[0],
            column * rates[1] : column * rates[1] + columns : strides[1],
        ]
        for row in range(height)
        for column in range(width)
    }
