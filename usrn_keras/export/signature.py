"""Input signature of exported models, and model copies with layers that converters can trace.

Checked with Keras 3.15: `ops.image.resize`, and therefore bilinear `UpSampling2D`, compares the size with
zero in Python, which fails in a TensorFlow graph with dynamic height and width; and the constants of
`Normalization` are eager tensors, which fail in another graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from usrn_keras.errors import ExportError

SIZE_MULTIPLE = 32


def check_input_size(input_size: tuple[int, int] | None) -> None:
    """Check that height and width are positive multiples of 32.

    Raises:
        ExportError: If they are not.
    """
    if input_size is not None and any(side < 1 or side % SIZE_MULTIPLE for side in input_size):
        height, width = (max(1, round(side / SIZE_MULTIPLE)) * SIZE_MULTIPLE for side in input_size)
        raise ExportError(
            f"input size must be positive multiples of {SIZE_MULTIPLE}, received "
            f"{input_size[0]}x{input_size[1]}",
            hint=f"Choose --size {height}x{width}, or omit --size.",
        )


def symbolic_shape(input_size: tuple[int, int] | None) -> tuple[str | int, ...]:
    """Return `("batch", "32*height", "32*width", 3)`, or the fixed size; the batch is always dynamic."""
    sides = (f"{SIZE_MULTIPLE}*height", f"{SIZE_MULTIPLE}*width") if input_size is None else input_size
    return ("batch", *sides, 3)


def describe(input_size: tuple[int, int] | None) -> str:
    """Format the signature, such as `float32 (batch, 32*height, 32*width, 3)`."""
    return f"float32 ({', '.join(map(str, symbolic_shape(input_size)))})"


def keras_signature(input_size: tuple[int, int] | None) -> list[Any]:
    """Return the `input_signature` for `keras.Model.export`."""
    import keras

    height, width = input_size or (None, None)
    return [keras.InputSpec(shape=(None, height, width, 3), dtype="float32", name="images")]


Replacements = Mapping[type[keras.layers.Layer], type[keras.layers.Layer]]


def rewrite(model: keras.Model, replacements: Replacements) -> keras.Model:
    """Clone a model with layers that converters can trace.

    Args:
        model: Functional model; nested models are cloned too.
        replacements: Replacement class for each class of layers without weights, built from the same
            configuration. `UpSampling2D` with nearest interpolation is kept.

    Returns:
        Model that shares the other layers, and therefore the weights, with `model`.
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
    """Convert a `Normalization` layer to `x * scale + offset` with plain numbers.

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
    """Return the replacement of `UpSampling2D` for TensorFlow graphs with dynamic height and width."""
    import tensorflow as tf

    class DynamicUpSampling2D(keras.layers.UpSampling2D):
        def call(self, inputs: Any) -> Any:
            size = tf.shape(inputs)[1:3] * tf.constant(self.size)
            return tf.image.resize(inputs, size, method=self.interpolation)

    return {keras.layers.UpSampling2D: DynamicUpSampling2D}
