"""The calls of the layers of a functional model, with the tensors that flow at a given size of image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras


@dataclass(frozen=True, eq=False)
class Call:
    """One layer, applied once.

    Attributes:
        layer: The layer.
        inputs, outputs: What it reads and what it gives: symbolic, `(1, ...)`, one image. A tensor that two
            calls share is the same object in both.
    """

    layer: keras.Layer
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def image_tensor(height: int, width: int, channels: int = 3) -> keras.KerasTensor:
    """One image, symbolic: `(1, height, width, channels)` float32."""
    return keras.KerasTensor((1, height, width, channels), "float32")


def calls(
    model: keras.Model, inputs: Sequence[keras.KerasTensor]
) -> tuple[list[Call], list[keras.KerasTensor]]:
    """Every layer that a functional model calls, models within it taken apart; nothing is computed.

    Args:
        model: A functional model.
        inputs: What it is called on, symbolic.

    Returns:
        The calls in the order of the graph, and the model's outputs.

    Raises:
        TypeError: The model, or one within it, is not functional: its layers cannot be told.

    Example:

    >>> image = keras.Input((None, None, 3))
    >>> model = keras.Model(image, keras.layers.Conv2D(8, 3, strides=2, padding="same")(image))
    >>> found, outputs = calls(model, [image_tensor(32, 48)])
    >>> type(found[0].layer).__name__, outputs[0].shape
    ('Conv2D', (1, 16, 24, 8))
    """
    found: list[Call] = []
    outputs = _run(model, list(inputs), found)
    return found, keras.tree.flatten(outputs)


def _run(model: keras.Model, inputs: Any, found: list[Call]) -> Any:
    if not hasattr(model, "_run_through_graph"):
        raise TypeError(f"a functional model is needed, received the {type(model).__name__} {model.name!r}")

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _run(layer, args[0], found)
        outputs = layer.compute_output_spec(*args, **kwargs)
        found.append(Call(layer, _tensors((args, kwargs)), _tensors(outputs)))
        return outputs

    return model._run_through_graph(inputs, call_fn=call)


def _tensors(structure: Any) -> tuple[keras.KerasTensor, ...]:
    flat = keras.tree.flatten(structure)
    return tuple(tensor for tensor in flat if isinstance(tensor, keras.KerasTensor))
