"""The calls of the layers of a functional model, with the shapes that flow at a given size of image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Call:
    """One layer, applied once.

    Attributes:
        layer: The layer.
        inputs, outputs: Shapes `(1, ...)` of what it reads and of what it gives, one image.
    """

    layer: keras.Layer
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


def calls(model: keras.Model, *shapes: Sequence[int]) -> tuple[list[Call], list[Shape]]:
    """Every layer that a functional model calls, models within it taken apart; nothing is computed.

    Args:
        model: A functional model.
        *shapes: Of its inputs, without the batch, such as `(height, width, channels)`.

    Returns:
        The calls in the order of the graph, and the shapes `(1, ...)` of the model's outputs.

    Raises:
        TypeError: The model, or one within it, is not functional: its layers cannot be told.

    Example:

    >>> image = keras.Input((None, None, 3))
    >>> model = keras.Model(image, keras.layers.Conv2D(8, 3, strides=2, padding="same")(image))
    >>> found, outputs = calls(model, (32, 48, 3))
    >>> found[0].inputs, outputs
    (((1, 32, 48, 3),), [(1, 16, 24, 8)])
    """
    found: list[Call] = []
    inputs = [
        keras.KerasTensor((1, *shape), tensor.dtype)
        for shape, tensor in zip(shapes, model.inputs, strict=True)
    ]
    outputs = _run(model, inputs, found)
    return found, [tuple(tensor.shape) for tensor in keras.tree.flatten(outputs)]


def _run(model: keras.Model, inputs: Any, found: list[Call]) -> Any:
    if not hasattr(model, "_run_through_graph"):
        raise TypeError(f"a functional model is needed, received the {type(model).__name__} {model.name!r}")

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _run(layer, args[0], found)
        outputs = layer.compute_output_spec(*args, **kwargs)
        found.append(Call(layer, _shapes((args, kwargs)), _shapes(outputs)))
        return outputs

    return model._run_through_graph(inputs, call_fn=call)


def _shapes(tensors: Any) -> tuple[Shape, ...]:
    flat = keras.tree.flatten(tensors)
    return tuple(tuple(tensor.shape) for tensor in flat if isinstance(tensor, keras.KerasTensor))
