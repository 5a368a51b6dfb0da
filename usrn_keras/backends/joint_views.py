"""Several views in one batch: batch normalisation treats each view as a batch of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras

from usrn_keras.backends.graph import all_layers

Tensor = Any
_SIZES: ContextVar[tuple[Any, ...]] = ContextVar("sizes of the views", default=())


@contextlib.contextmanager
def joint_views(sizes: Sequence[Any]) -> Iterator[None]:
    """Let batches inside the block be views in a row, which batch normalisation keeps apart in training.

    Args:
        sizes: Number of images of each view, in order; numbers, or scalar tensors where a graph has none.
    """
    token = _SIZES.set(tuple(sizes))
    try:
        yield
    finally:
        _SIZES.reset(token)


def view_sizes() -> tuple[Any, ...]:
    """Sizes of the views of a batch; empty for a batch of one view."""
    return _SIZES.get()


def splits_views(layer: keras.Layer, training: bool) -> bool:
    """Whether a layer must see each view of a batch by itself: it has batch normalisation, and is trained.

    Args:
        layer: Layer or model.
        training: Whether batch normalisation uses the statistics of the batch.
    """
    return bool(training and view_sizes()) and any(
        isinstance(inner, keras.layers.BatchNormalization) for inner in all_layers(layer)
    )


def by_view(
    call: Callable[[list[Tensor]], Tensor], inputs: Sequence[Tensor], join: Callable[[list[Tensor]], Tensor]
) -> Tensor:
    """Apply a function to each view of a batch, and join the results.

    Args:
        call: Function of tensors of one view.
        inputs: Tensors whose first axis is the batch.
        join: Function that joins tensors along the first axis.
    """
    results, start = [], 0
    sizes = view_sizes()
    with joint_views(()):
        for size in sizes:
            results.append(call([tensor[start : start + size] for tensor in inputs]))
            start = start + size
    return join(results)


def call_by_view(
    model: Any, inputs: Any, training: bool | None, join: Callable[[list[Tensor]], Tensor]
) -> Tensor:
    """Call a Keras model or layer, once for each view of a batch if it normalises batches.

    Args:
        model: Model or layer.
        inputs: Tensor, or a nested list of tensors.
        training: Whether batch normalisation uses the statistics of the batch and dropout is active.
        join: Function that joins tensors along the first axis.
    """
    if not splits_views(model, bool(training)):
        return model(inputs, training=training)

    def call(given: list[Tensor]) -> Tensor:
        return model(keras.tree.pack_sequence_as(inputs, given), training=training)

    return by_view(call, keras.tree.flatten(inputs), join)
