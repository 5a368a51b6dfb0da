"""Pixel-wise cross entropy, at the size of the logits or of larger labels."""

from __future__ import annotations

from typing import Any

from keras import ops

from usrn_keras.losses import divisors
from usrn_keras.losses.bilinear import upsample, upsample_transposed
from usrn_keras.losses.blocks import UNKNOWN_BATCH, blocks_of_rows, map_blocks

Tensor = Any


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor, pixels: Tensor | None = None) -> Tensor:
    """Compute the mean cross entropy over the pixels where `mask` is true.

    Args:
        logits: Logits `(batch, height / f, width / f, channels)`, f an integer. With f above 1 the logits
            are upsampled bilinearly (half-pixel centres).
        labels: Labels `(batch, height, width)` int. Their values are ignored where the mask is false.
        mask: Mask `(batch, height, width)` bool of the pixels that count.
        pixels: Number of pixels by which the sum is divided; None for the number of those that count.

    Returns:
        float32 scalar; 0 if the mask is false everywhere.

    Raises:
        ValueError: The size of the labels is not an integer multiple of the size of the logits.
    """
    return cross_entropy_and_accuracy(logits, labels, mask, pixels)[0]


def cross_entropy_and_accuracy(
    logits: Tensor, labels: Tensor, mask: Tensor, pixels: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute `cross_entropy` and the pixel accuracy under the mask.

    The upsampled logits are never stored as a whole. They are computed in blocks, a few rows of all images
    at a time, and each block is reduced to its part of the loss and of the gradient. Only the gradient at
    the size of the logits is kept: with 177 subclasses, 8 images of 320 x 320 and f = 4 it takes 36 MB, while
    the upsampled logits, their softmax and its gradient would take 580 MB each.

    Args:
        logits: Logits `(batch, height / f, width / f, channels)`, see `cross_entropy`.
        labels: Labels `(batch, height, width)` int.
        mask: Mask `(batch, height, width)` bool of the pixels that count.
        pixels: Number of pixels by which both sums are divided; None for the number of those that count.

    Returns:
        Two float32 scalars, loss and accuracy; both are 0 if the mask is false everywhere. The accuracy has
        no gradient.

    Example:

    >>> import numpy as np
    >>> logits, labels = np.zeros((1, 2, 2, 3), "float32"), np.zeros((1, 8, 8), "int32")
    >>> loss, accuracy = cross_entropy_and_accuracy(logits, labels, labels == 0)
    >>> round(float(loss), 4), float(accuracy)  # log 3; argmax of equal logits is the first channel
    (1.0986, 1.0)
    """
    factor = _factor(logits, labels)
    # An ignored id such as 255 is not a channel: replace it by any valid channel, with weight 0.
    labels = ops.cast(labels, "int32") * ops.cast(mask, "int32")
    weights = ops.cast(mask, "float32")
    count = divisors.at_least_one(ops.sum(weights)) if pixels is None else ops.maximum(pixels, 1.0)
    weights = weights / count

    @ops.custom_gradient
    def loss_and_accuracy(logits: Tensor) -> tuple[Tensor, Any]:
        both, gradient = _blockwise(ops.cast(logits, "float32"), labels, weights, factor)
        gradient = ops.cast(gradient, logits.dtype)

        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            upstream = arguments[0] if upstream is None else upstream  # a keyword argument on torch only
            return gradient * ops.cast(upstream[0], gradient.dtype)

        return both, backward

    both = loss_and_accuracy(ops.convert_to_tensor(logits))
    return both[0], ops.stop_gradient(both[1])


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the cross entropy of every pixel.

    Args:
        logits: Logits `(batch, height, width, channels)`.
        labels: Labels `(batch, height, width)` int.

    Returns:
        `(batch, height, width)` float32: `logsumexp(logits) - logits[label]`.
    """
    logits = ops.cast(logits, "float32")
    return ops.logsumexp(logits, axis=-1) - take_channel(logits, labels)


def take_channel(values: Tensor, index: Tensor) -> Tensor:
    """Take one channel of each pixel: `(..., channels)`, `(...)` -> `(...)`."""
    return ops.squeeze(
        ops.take_along_axis(values, ops.expand_dims(ops.cast(index, "int32"), -1), axis=-1), -1
    )


def _factor(logits: Tensor, labels: Tensor) -> int:
    (height, width), (rows, columns) = labels.shape[1:3], logits.shape[1:3]
    factor = height // rows
    if (rows * factor, columns * factor) != (height, width):
        raise ValueError(
            f"the size of `labels` must be an integer multiple of that of `logits`, received {height} x "
            f"{width} labels and {rows} x {columns} logits"
        )
    return factor


def _blockwise(logits: Tensor, labels: Tensor, weights: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Compute loss and accuracy as one tensor `(2,)`, and the gradient of the loss by the logits."""
    batch, rows, columns, channels = logits.shape
    tall = upsample(logits, factor, axis=1)
    height, width = rows * factor, columns * factor
    blocks = blocks_of_rows(height, 4 * (batch or UNKNOWN_BATCH) * width * channels)

    def in_blocks(values: Tensor, *rest: int) -> Tensor:
        """`(batch, height, ...)` -> `(blocks, batch * height of a block, ...)`"""
        values = ops.reshape(values, (-1, blocks, height // blocks, *rest))
        values = ops.transpose(values, (1, 0, 2, *range(3, 3 + len(rest))))
        return ops.reshape(values, (blocks, -1, *rest))

    def block(given: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return _block(*given, factor)

    both, gradients = map_blocks(
        block, (in_blocks(tall, columns, channels), in_blocks(labels, width), in_blocks(weights, width))
    )
    gradients = ops.reshape(gradients, (blocks, -1, height // blocks, columns, channels))
    gradients = ops.reshape(ops.transpose(gradients, (1, 0, 2, 3, 4)), (-1, height, columns, channels))
    return ops.sum(both, axis=0), upsample_transposed(gradients, factor, axis=1)


def _block(logits: Tensor, labels: Tensor, weights: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Apply `_blockwise` to some rows, `(rows, columns, channels)`, that are upsampled along the height."""
    logits = upsample(logits, factor, axis=1)
    largest = ops.max(logits, axis=-1, keepdims=True)
    exponentials = ops.exp(logits - largest)
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    losses = ops.squeeze(ops.log(total) + largest, -1) - take_channel(logits, labels)
    hits = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == labels, "float32")
    both = ops.stack([ops.sum(losses * weights), ops.sum(hits * weights)])
    label = ops.expand_dims(labels, -1) == ops.arange(logits.shape[-1], dtype="int32")
    gradient = exponentials / total - ops.cast(label, "float32")
    gradient = gradient * ops.expand_dims(weights, -1)
    return both, upsample_transposed(gradient, factor, axis=1)
