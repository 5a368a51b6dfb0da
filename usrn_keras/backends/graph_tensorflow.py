"""Running a functional Keras graph with TensorFlow's fused operations, without its slow ones.

On a CPU, TensorFlow computes a dilated convolution about ten times as slowly as one that is not, and
batch normalisation in ten elementwise steps unless it is asked for the fused one.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from keras import layers

from usrn_keras.backends import graph_keras
from usrn_keras.backends.plan import Step

Tensor = Any


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """`model(inputs, training=training)`, faster; see `graph_keras.run_with`."""
    return graph_keras.run_with(OPERATIONS, model, inputs, training)


def _convolution(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = tf.cast(inputs[0], layer.compute_dtype)
    kernel = graph_keras.living_kernel(layer, x.shape[1:3], layer.compute_dtype)
    dilated = max(layer.dilation_rate) > 1 and max(kernel.shape[:2]) > 1
    if layer.groups > 1 or None in x.shape[1:3]:
        return graph_keras.convolution(step, inputs, training)
    odd = all(taps % 2 for taps in kernel.shape[:2])  # an even kernel is padded at one end more
    if dilated and odd and layer.padding == "same" and not tf.config.list_physical_devices("GPU"):
        return graph_keras.finish(layer, _dilated(x, kernel, layer.dilation_rate))
    dilations = layer.dilation_rate if dilated else 1
    result = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=dilations)
    return graph_keras.finish(layer, result)


def _dilated(x: Tensor, kernel: Tensor, rates: tuple[int, int]) -> Tensor:
    """A dilated convolution as one that is not, of the `rate x rate` sub-images of every rate-th pixel."""
    ends = [-size % rate for size, rate in zip(x.shape[1:3], rates, strict=True)]
    parts = tf.space_to_batch(x, rates, [[0, end] for end in ends])
    return tf.batch_to_space(tf.nn.conv2d(parts, kernel, 1, "SAME"), rates, [[0, end] for end in ends])


def _batch_normalization(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = inputs[0]
    if not (training and layer.trainable and layer.scale and layer.center and layer.axis in (-1, 3)):
        return graph_keras.batch_normalization(step, inputs, training)
    result, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, layer.gamma.value, layer.beta.value, epsilon=layer.epsilon, is_training=True
    )
    count = tf.cast(tf.size(x[..., 0]), variance.dtype)
    graph_keras.update_moments(layer, mean, variance * (count - 1) / count)  # as Keras: not the unbiased one
    return tf.cast(result, layer.compute_dtype)


OPERATIONS = graph_keras.OPERATIONS | {
    layers.Conv2D: _convolution,
    layers.BatchNormalization: _batch_normalization,
}
