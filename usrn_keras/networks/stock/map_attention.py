"""Attention between the pixels of maps, with several heads."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

Tensor = Any


@keras.saving.register_keras_serializable(package="usrn_keras")
class MapAttention(layers.Layer):
    """Scaled dot-product attention of every pixel of one map over every pixel of another.

    With `Q`, `K`, `V` a head's share of the channels, pixels in rows, and `d` their number:
    `softmax(Q K^T / sqrt(d)) V` (Vaswani et al., arXiv 1706.03762, Eq. 1).

    Args:
        heads: Number of heads; it divides the channels.
        **kwargs: Of `keras.layers.Layer`.

    Input `[queries (batch, height, width, channels), keys (batch, h, w, channels), values
    (batch, h, w, channels)]`, output `(batch, height, width, channels)`.

    Example:

    >>> queries, keys = ops.ones((1, 4, 6, 8)), ops.ones((1, 2, 3, 8))
    >>> MapAttention(2)([queries, keys, keys]).shape
    (1, 4, 6, 8)
    """

    def __init__(self, heads: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.heads = heads
        self.built = True

    def call(self, inputs: list[Tensor]) -> Tensor:
        queries, keys, values = (self._in_heads(maps) for maps in inputs)
        _, height, width, channels = ops.shape(inputs[0])
        answers = ops.dot_product_attention(queries, keys, values)
        return ops.reshape(answers, (-1, height, width, channels))

    def _in_heads(self, maps: Tensor) -> Tensor:
        """`(batch, pixels, heads, channels of a head)`."""
        _, height, width, channels = ops.shape(maps)
        return ops.reshape(maps, (-1, height * width, self.heads, channels // self.heads))

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> tuple[int | None, ...]:
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"heads": self.heads}
