"""Write the native formats of the backends, `.pt2`, SavedModel and LiteRT, from graphs that can be traced.

Checked with Keras 3.15: `ops.image.resize`, and thus bilinear `UpSampling2D`, compares the size with zero in
Python, which fails in a TensorFlow graph with dynamic height and width; and the constants of `Normalization`
are eager tensors, which cannot be used in another graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

SIZE_MULTIPLE = 32


def write_torch(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write `path`; batch size, and height and width without `input_size`, are dynamic."""
    import torch

    torch.export.save(trace(model, input_size), path)


def trace(model: keras.Model, input_size: tuple[int, int] | None) -> Any:
    """Trace the model as a `torch.export.ExportedProgram` of `images`, with its weights as parameters.

    `keras.Model.export(format="torch")` stores every weight twice, once as a constant, so the weights would
    not follow when the program is moved to another device (Keras 3.15).
    """
    import torch

    free = {0: torch.export.Dim("batch")}
    if input_size is None:
        free |= {axis: SIZE_MULTIPLE * torch.export.Dim(side) for axis, side in [(1, "height"), (2, "width")]}
    # A batch of 2 and sides above 32, because torch.export treats sizes of 1 as constants.
    images = torch.zeros((2, *(input_size or (96, 160)), bands_of(model)))
    with torch.no_grad():
        return torch.export.export(stateless_module(model), (images,), dynamic_shapes=(free,), strict=False)


def stateless_module(model: keras.Model) -> Any:
    """Wrap the model as a `torch.nn.Module` whose parameters are the weights of the model."""
    import torch

    class Stateless(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trainable = torch.nn.ParameterList([v.value for v in model.trainable_variables])
            self.fixed = torch.nn.ParameterList([v.value for v in model.non_trainable_variables])

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            weights = list(self.trainable), list(self.fixed)
            return model.stateless_call(*weights, images, training=False)[0]

    return Stateless()


def write_saved_model(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write the folder `path` with the endpoint `serve` and the signature `serving_default`."""
    convert = {"tensorflow": _from_tensorflow, "jax": _from_jax}
    convert[keras.backend.backend()](model, path, input_size)


def _from_tensorflow(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write a SavedModel without `keras.Model.export`, which stores every weight twice (Keras 3.15)."""
    import tensorflow as tf

    traceable = model if input_size else rewrite(model, dynamic_layers())
    images = tf.TensorSpec((None, *(input_size or (None, None)), bands_of(model)), name="images")
    module = tf.Module()
    module.weights = [variable.value for variable in traceable.variables]
    module.serve = tf.function(
        lambda x: traceable(x, training=False), input_signature=[images], autograph=False
    )
    tf.saved_model.save(module, path, signatures=module.serve)


def _from_jax(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    # Keras would declare height and width as arbitrary, and JAX could not match the shapes of skip
    # connections.
    shape = f"({', '.join(map(str, symbolic_shape(input_size, bands_of(model))))})"
    model.export(
        path,
        format="tf_saved_model",
        verbose=False,
        input_signature=keras_signature(model, input_size),
        jax2tf_kwargs={"native_serialization": True, "polymorphic_shapes": [shape]},
    )


def write_litert(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write a float32 flat buffer with LiteRT's built-in operations."""
    traceable = model if input_size else rewrite(model, dynamic_layers())
    traceable.export(path, format="litert", verbose=False, input_signature=keras_signature(model, input_size))


def bands_of(model: keras.Model) -> int:
    """Number of bands of the images of a model."""
    return model.inputs[0].shape[-1]


def symbolic_shape(input_size: tuple[int, int] | None, bands: int) -> tuple[str | int, ...]:
    """Return `("batch", "32*height", "32*width", bands)`, or the fixed size; the batch is always dynamic."""
    sides = (f"{SIZE_MULTIPLE}*height", f"{SIZE_MULTIPLE}*width") if input_size is None else input_size
    return ("batch", *sides, bands)


def keras_signature(model: keras.Model, input_size: tuple[int, int] | None) -> list[Any]:
    """Return the `input_signature` for `keras.Model.export`."""
    height, width = input_size or (None, None)
    return [keras.InputSpec(shape=(None, height, width, bands_of(model)), dtype="float32", name="images")]


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
