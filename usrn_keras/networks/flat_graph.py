"""Rewrite a functional model as one flat graph of layers, which the conversion of strides can read."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Number
from typing import Any

import keras
from keras import layers

from usrn_keras.backends.graph import call_layers
from usrn_keras.errors import RecipeError


def flat_graph(model: keras.Model) -> keras.Model:
    """Rewrite nested models and calls of operations, such as `x + y`, as layers of one graph.

    Args:
        model: Functional model with one input and one output.

    Returns:
        The model itself if it is flat, otherwise a copy with the same weights.

    Raises:
        RecipeError: The model is not functional, has several inputs or outputs, or calls an operation without
            an equal layer; the message names it.

    Example:

    >>> images = keras.Input((None, None, 3))
    >>> half = keras.Sequential([layers.Conv2D(4, 2, strides=2)])
    >>> flat = flat_graph(keras.Model(images, half(images) * 0.5))
    >>> [type(layer).__name__ for layer in flat.layers]
    ['InputLayer', 'Conv2D', 'Rescaling']
    """
    if not hasattr(model, "operations") or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise RecipeError(
            f"network.backbone: {model.name!r} must be a functional keras.Model with one input and one "
            f"output, received {type(model).__name__}",
            hint="Build it with keras.Input and keras.Model(inputs, outputs).",
        )
    nested = any(isinstance(layer, keras.Model) for layer in model.layers)
    if not nested and len(model.operations) == len(model.layers):
        return model
    copies: dict[int, tuple[layers.Layer, layers.Layer]] = {}
    names: set[str] = set()

    def copy(layer: layers.Layer) -> layers.Layer:
        if id(layer) not in copies:
            name = layer.name if layer.name not in names else f"{layer.name}_{len(names)}"
            names.add(name)
            new = layer.__class__.from_config(layer.get_config() | {"name": name})
            copies[id(layer)] = layer, new
        return copies[id(layer)][1]

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(operation, keras.Sequential):
            result = args[0]
            for layer in operation.layers:
                result = call(layer, result)
            return result
        if isinstance(operation, keras.Model):
            return call_layers(operation, args[0], call)
        if isinstance(operation, layers.Layer):
            return copy(operation)(*args, **kwargs)
        return _layer_of(operation, args)(*args)

    images = keras.Input(model.inputs[0].shape[1:], name=model.inputs[0].name)
    flat = keras.Model(images, call_layers(model, images, call), name=model.name)
    for old, new in copies.values():
        new.set_weights(old.get_weights())
    return flat


def _layer_of(operation: Any, args: tuple) -> Callable[..., Any]:
    """Find the layer that equals an operation of two tensors, or of a tensor and a number."""
    kind = type(operation).__name__
    number = next((value for value in args if isinstance(value, Number)), None)
    both = all(isinstance(value, keras.KerasTensor) for value in args)
    if len(args) == 2 and kind in ("Add", "Multiply") and both:
        layer = layers.Add() if kind == "Add" else layers.Multiply()
        return lambda *tensors: layer(list(tensors))
    if len(args) == 2 and kind in ("Add", "Multiply") and number is not None:
        layer = layers.Rescaling(1.0, number) if kind == "Add" else layers.Rescaling(number)
        return lambda *values: layer(next(v for v in values if isinstance(v, keras.KerasTensor)))
    raise RecipeError(
        f"network.backbone: the operation {operation.name!r} ({kind}) cannot be converted",
        hint="Call a layer in its place: sums and products are converted, other operations must be layers.",
    )
