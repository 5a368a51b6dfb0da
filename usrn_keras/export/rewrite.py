"""Copies of a model with layers swapped for ones that a converter can trace.

Checked with Keras 3.15: `ops.image.resize`, and with it bilinear `UpSampling2D`, compares the
size with zero in Python, which a TensorFlow graph with free height and width refuses; and the
constants of `Normalization` are eager tensors, which tf2onnx turns into inputs of the model.
"""

from __future__ import annotations

from typing import Any

import keras


def rewrite(model: keras.Model, *, upsampling: type[keras.layers.UpSampling2D] | None = None) -> keras.Model:
    """A model of the same function whose graph converters can trace.

    Args:
        model: A functional model; models inside it are rewritten too.
        upsampling: Class that replaces `UpSampling2D` where it interpolates.

    Returns:
        A model that shares the other layers, and so the weights, with `model`.
    """

    def swap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Normalization):
            return rescaling(layer)
        if upsampling and type(layer) is keras.layers.UpSampling2D and layer.interpolation != "nearest":
            return upsampling.from_config(layer.get_config())
        return layer

    return keras.models.clone_model(model, clone_function=swap, recursive=True)


def rescaling(layer: keras.layers.Normalization) -> keras.layers.Rescaling:
    """`(x - mean) / max(sqrt(variance), epsilon)` as `x * scale + offset`, with plain numbers.

    Example:

    >>> rescaling(keras.layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 16.0])).scale
    [0.5, 0.25]
    """
    layer = _built(layer)
    mean, variance = (keras.ops.convert_to_numpy(value).ravel() for value in (layer.mean, layer.variance))
    scale = 1.0 / (variance**0.5).clip(keras.config.epsilon())
    if layer.invert:
        scale, offset = 1.0 / scale, mean
    else:
        offset = -mean * scale
    return keras.layers.Rescaling(scale.tolist(), offset.tolist(), name=layer.name)


def _built(layer: keras.layers.Normalization) -> keras.layers.Normalization:
    if not layer.built:
        layer.build((None, None, None, len(layer.input_mean)))
    return layer


def dynamic_upsampling() -> type[Any]:
    """`UpSampling2D` for TensorFlow graphs with free height and width."""
    import tensorflow as tf

    class DynamicUpSampling2D(keras.layers.UpSampling2D):
        def call(self, inputs: Any) -> Any:
            size = tf.shape(inputs)[1:3] * tf.constant(self.size)
            return tf.image.resize(inputs, size, method=self.interpolation)

    return DynamicUpSampling2D
