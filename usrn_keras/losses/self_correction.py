"""Self-correction loss of DSBN: cross entropy and reverse cross entropy, weighted by pixel."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from usrn_keras.losses.bilinear import upsample, upsample_transposed
from usrn_keras.losses.blocks import UNKNOWN_BATCH, blocks_of_rows, map_blocks
from usrn_keras.losses.cross_entropy import take_channel
from usrn_keras.losses.upsampled_labels import upsampled_labels

Tensor = Any

CONFIDENT = 0.8  # above this confidence the weight is 1
REVERSE = -math.log(1e-4)  # the logarithm of 0 in the one-hot label is clipped to that of 1e-4
WEIGHTS = ("own", "official")


def self_correction(logits: Tensor, labels: Tensor, mask: Tensor, weights: str = "own") -> Tensor:
    """Compute the mean self-correction loss over the pixels where `mask` is true.

        loss = (1 - w) * CE + w * 9.2103 * (1 - softmax(logits)[label])
        w    = 1 where max softmax(logits) > 0.8, otherwise max softmax(logits); without gradient

    The second term is the reverse cross entropy, which is bounded: a confident network learns less from a
    label that it contradicts. As in `cross_entropy`, the upsampled logits are never stored as a whole.

    Args:
        logits: Logits `(batch, height / f, width / f, channels)`, f an integer. With f above 1 the logits
            are upsampled bilinearly (half-pixel centres).
        labels: Labels `(batch, height, width)` int. Their values are ignored where the mask is false.
        mask: Mask `(batch, height, width)` bool of the pixels that count.
        weights: `own`: w of each pixel; `official`: the mean of w over the images of the batch, by an axis
            that the official code leaves in place.

    Returns:
        float32 scalar; 0 if the mask is false everywhere.

    Raises:
        ValueError: `weights` is unknown.

    Example:

    >>> import numpy as np
    >>> labels = np.zeros((1, 2, 2), "int32")
    >>> round(float(self_correction(np.zeros((1, 2, 2, 2), "float32"), labels, labels == 0)), 4)
    2.6492
    """
    validate_weights(weights)
    factor = labels.shape[1] // logits.shape[1]
    labels = ops.where(mask, ops.cast(labels, "int32"), 0)
    confidence = upsampled_labels(logits, factor)["confidence"]
    w = ops.where(confidence > CONFIDENT, ops.ones_like(confidence), confidence)
    if weights == "official":
        w = ops.broadcast_to(ops.mean(w, axis=0, keepdims=True), ops.shape(w))
    pixels = ops.cast(mask, "float32")
    pixels = pixels / ops.maximum(ops.sum(pixels), 1.0)
    forward, reverse = (1.0 - w) * pixels, REVERSE * w * pixels

    @ops.custom_gradient
    def loss(logits: Tensor) -> tuple[Tensor, Any]:
        value, gradient = _blockwise(ops.cast(logits, "float32"), labels, forward, reverse, factor)
        gradient = ops.cast(gradient, logits.dtype)

        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            upstream = arguments[0] if upstream is None else upstream  # a keyword argument on torch only
            return gradient * ops.cast(upstream, gradient.dtype)

        return value, backward

    return loss(ops.convert_to_tensor(logits))


def validate_weights(weights: str) -> None:
    """Raise a `ValueError` if the name of the weights is unknown."""
    if weights not in WEIGHTS:
        raise ValueError(f"`weights` must be one of {', '.join(WEIGHTS)}, received {weights!r}")


def _blockwise(
    logits: Tensor, labels: Tensor, forward: Tensor, reverse: Tensor, factor: int
) -> tuple[Tensor, Tensor]:
    """Compute the loss, a scalar, and its gradient by the logits, a few rows of all images at a time."""
    batch, rows, columns, channels = logits.shape
    height, width = rows * factor, columns * factor
    blocks = blocks_of_rows(height, 4 * (batch or UNKNOWN_BATCH) * width * channels)

    def in_blocks(values: Tensor, *rest: int) -> Tensor:
        """`(batch, height, ...)` -> `(blocks, batch, height of a block, ...)`"""
        values = ops.reshape(values, (-1, blocks, height // blocks, *rest))
        return ops.transpose(values, (1, 0, 2, *range(3, 3 + len(rest))))

    def block(given: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        logits, labels, forward, reverse = given
        probabilities = ops.softmax(logits := upsample(logits, factor, axis=2), axis=-1)
        losses = ops.logsumexp(logits, axis=-1) - take_channel(logits, labels)
        chosen = take_channel(probabilities, labels)
        label = ops.expand_dims(labels, -1) == ops.arange(channels, dtype="int32")
        # d CE = p - onehot and d(1 - p_label) = p_label * (p - onehot)
        gradient = (probabilities - ops.cast(label, "float32")) * ops.expand_dims(
            forward + reverse * chosen, -1
        )
        value = ops.sum(forward * losses + reverse * (1.0 - chosen))
        return value, upsample_transposed(gradient, factor, axis=2)

    tall = in_blocks(upsample(logits, factor, axis=1), columns, channels)
    given = (tall, in_blocks(labels, width), in_blocks(forward, width), in_blocks(reverse, width))
    values, gradients = map_blocks(block, given)
    gradients = ops.reshape(ops.transpose(gradients, (1, 0, 2, 3, 4)), (-1, height, columns, channels))
    return ops.sum(values), upsample_transposed(gradients, factor, axis=1)
