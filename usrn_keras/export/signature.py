"""What a converter can trace: the input of an exported model, and copies of a model with layers swapped.

Checked with Keras 3.15: `ops.image.resize`, and with it bilinear `UpSampling2D`, compares the
size with zero in Python, which a TensorFlow graph with free height and width refuses; and the
constants of `Normalization` are eager tensors, which another graph refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from usrn_keras.errors import ExportError

SIZE_MULTIPLE = 32


def check_input_size(input_size: tuple[int, int] | None) -> None:
    """Height and width must be positive multiples of 32.

    Raises:
        ExportError: They are not.
    """
    if input_size is not None and any(side < 1 or side % SIZE_MULTIPLE for side in input_size):
        height, width = (max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in input_size)
        raise ExportError(
            f"input size {input_size[0]} x {input_size[1]}: both must be multiples of {SIZE_MULTIPLE}, not 0",
            hint=f"Choose {height} x {width}, or leave the size free.",
        )


def symbolic_shape(input_size: tuple[int, int] | None) -> tuple[str | int, ...]:
    """`("batch", "32*height", "32*width", 3)`, or the fixed size; the batch is always free."""
    sides = (f"{SIZE_MULTIPLE}*height", f"{SIZE_MULTIPLE}*width") if input_size is None else input_size
    return ("batch", *sides, 3)


def describe(input_size: tuple[int, int] | None) -> str:
    """The signature for people: `float32 (batch, 32*height, 32*width, 3)`."""
    return f"float32 ({', '.join(map(str, symbolic_shape(input_size)))})"


def keras_signature(input_size: tuple[int, int] | None) -> list[Any]:
    """The `input_signature` of `keras.Model.export`."""
    import keras

    height, width = input_size or (None, None)
    return [keras.InputSpec(shape=(None, height, width, 3), dtype="float32", name="images")]


Replacements = Mapping[type[keras.layers.Layer], type[keras.layers.Layer]]


def rewrite(model: keras.Model, replacements: Replacements) -> keras.Model:
    """A model of the same function whose graph converters can trace.

    Args:
        model: A functional model; models inside it are rewritten too.
        replacements: For a class of layers without weights, the class that replaces it, built from
            the same configuration. `UpSampling2D` that repeats pixels stays.

    Returns:
        A model that shares the other layers, and so the weights, with `model`.
    """

    def swap(layer: keras.layers.Layer) -> keras.layers.Layer:
        if isinstance(layer, keras.layers.Normalization):
            return rescaling(layer)
        replacement = replacements.get(type(layer))
        if replacement is None or getattr(layer, "interpolation", None) == "nearest":
            return layer
        return replacement.from_config(layer.get_config())

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


def dynamic_layers() -> Replacements:
    """What replaces `UpSampling2D` in TensorFlow graphs with free height and width."""
    import tensorflow as tf

    class DynamicUpSampling2D(keras.layers.UpSampling2D):
        def call(self, inputs: Any) -> Any:
            size = tf.shape(inputs)[1:3] * tf.constant(self.size)
            return tf.image.resize(inputs, size, method=self.interpolation)

    return {keras.layers.UpSampling2D: DynamicUpSampling2D}
