"""Layers of a supplier's network, laid anew in a graph of our own.

A supplier's network is made of models and layers within each other, and some of these know the size of the
image. Laid one after the other, their plain layers give a graph that takes any size, that each backend's own
kernels run, and that is saved and loaded without the supplier.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras
from keras import layers

from usrn_keras.networks.blocks import resumable_dropout


def relaid(layer: keras.Layer, x: Any, **changes: Any) -> Any:
    """A new layer with the configuration of `layer`, applied to `x`.

    Args:
        layer: Of a supplier's network; its weights are not taken over.
        x: Symbolic.
        **changes: Replace entries of its configuration.
    """
    if isinstance(layer, layers.Dropout):
        return resumable_dropout(layer.rate)(x)
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    return layer.__class__.from_config(config | changes)(x)


def chain(stack: Iterable[keras.Layer], x: Any, *, batch_norm_momentum: float) -> Any:
    """`stack`, laid anew one after the other."""
    for layer in stack:
        normalises = isinstance(layer, layers.BatchNormalization)
        x = relaid(layer, x, **({"momentum": batch_norm_momentum} if normalises else {}))
    return x
