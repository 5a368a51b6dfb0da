"""Cross entropy of pixels, at the size of the logits or of larger labels."""

from __future__ import annotations

from typing import Any

from keras import ops

from usrn_keras.losses.bilinear import enlarge, enlarge_transposed

Tensor = Any

BLOCK_BYTES = 8e6  # of enlarged logits at once: about what the caches of a CPU hold
UNKNOWN_BATCH = 8  # images that a block is made for where the batch is known only when the step runs


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean cross entropy over the pixels where `mask` holds; 0 where it holds nowhere.

    Args:
        logits: `(batch, height / f, width / f, channels)`, f an integer; with f above 1 the loss is that
            of the logits upsampled bilinearly (half-pixel centres).
        labels: `(batch, height, width)` int; anything where the mask is false.
        mask: `(batch, height, width)` bool.

    Returns:
        float32 scalar.

    Raises:
        ValueError: The labels are not an integer number of times as large as the logits.
    """
    return cross_entropy_and_accuracy(logits, labels, mask)[0]


def cross_entropy_and_accuracy(logits: Tensor, labels: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`cross_entropy`, and the share of the masked pixels whose largest logit is that of their label.

    Upsampled logits never exist as a whole: they are made block by block, a few rows of all images at a
    time, and each block is turned into its share of the loss and of the gradient at once. What
    stays is the gradient at the size of the logits. With 177 subclasses, 8 images of 320 x 320 and f = 4,
    that is 36 MB where the upsampled logits, their softmax and its gradient are 580 MB each.

    Args:
        logits, labels, mask: As for `cross_entropy`.

    Returns:
        Two float32 scalars; both 0 where the mask holds nowhere. The accuracy carries no gradient.

    Example:

    >>> import numpy as np
    >>> logits, labels = np.zeros((1, 2, 2, 3), "float32"), np.zeros((1, 8, 8), "int32")
    >>> loss, accuracy = cross_entropy_and_accuracy(logits, labels, labels == 0)
    >>> round(float(loss), 4), float(accuracy)  # log 3; all are equal, and the first one is taken
    (1.0986, 1.0)
    """
    factor = _factor(logits, labels)
    # An ignored id such as 255 is no channel: any valid one will do, its weight is 0.
    labels = ops.where(mask, ops.cast(labels, "int32"), 0)
    weights = ops.cast(mask, "float32")
    weights = weights / ops.maximum(ops.sum(weights), 1.0)

    @ops.custom_gradient
    def loss_and_accuracy(logits: Tensor) -> tuple[Tensor, Any]:
        both, gradient = _blockwise(ops.cast(logits, "float32"), labels, weights, factor)
        gradient = ops.cast(gradient, logits.dtype)

        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            upstream = arguments[0] if upstream is None else upstream  # torch names it, the others do not
            return gradient * ops.cast(upstream[0], gradient.dtype)

        return both, backward

    both = loss_and_accuracy(ops.convert_to_tensor(logits))
    return both[0], ops.stop_gradient(both[1])


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of every pixel, `(batch, height, width)` float32: `logsumexp - logit`."""
    logits = ops.cast(logits, "float32")
    return ops.logsumexp(logits, axis=-1) - pick(logits, labels)


def pick(values: Tensor, index: Tensor) -> Tensor:
    """The channel `index` of each pixel: `(..., channels)`, `(...)` -> `(...)`."""
    return ops.squeeze(
        ops.take_along_axis(values, ops.expand_dims(ops.cast(index, "int32"), -1), axis=-1), -1
    )


def _factor(logits: Tensor, labels: Tensor) -> int:
    (height, width), (rows, columns) = labels.shape[1:3], logits.shape[1:3]
    factor = height // rows
    if (rows * factor, columns * factor) != (height, width):
        raise ValueError(
            f"`labels` must be an integer number of times as large as `logits`, received {height} x {width} "
            f"labels and {rows} x {columns} logits"
        )
    return factor


def _blockwise(logits: Tensor, labels: Tensor, weights: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Loss and accuracy as one tensor `(2,)`, and the gradient of the loss by the logits."""
    batch, rows, columns, channels = logits.shape
    tall = enlarge(logits, factor, axis=1)
    height, width = rows * factor, columns * factor
    blocks = _blocks(height, 4 * (batch or UNKNOWN_BATCH) * width * channels)

    def in_blocks(values: Tensor, *rest: int) -> Tensor:
        """`(batch, height, ...)` -> `(blocks, batch * height of a block, ...)`"""
        values = ops.reshape(values, (-1, blocks, height // blocks, *rest))
        values = ops.transpose(values, (1, 0, 2, *range(3, 3 + len(rest))))
        return ops.reshape(values, (blocks, -1, *rest))

    def block(given: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return _block(*given, factor)

    both, gradients = ops.map(
        block, (in_blocks(tall, columns, channels), in_blocks(labels, width), in_blocks(weights, width))
    )
    gradients = ops.reshape(gradients, (blocks, -1, height // blocks, columns, channels))
    gradients = ops.reshape(ops.transpose(gradients, (1, 0, 2, 3, 4)), (-1, height, columns, channels))
    return ops.sum(both, axis=0), enlarge_transposed(gradients, factor, axis=1)


def _block(logits: Tensor, labels: Tensor, weights: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """`_blockwise` of some rows, `(rows, columns, channels)`, whose width is still to be enlarged."""
    logits = enlarge(logits, factor, axis=1)
    largest = ops.max(logits, axis=-1, keepdims=True)
    exponentials = ops.exp(logits - largest)
    total = ops.sum(exponentials, axis=-1, keepdims=True)
    losses = ops.squeeze(ops.log(total) + largest, -1) - pick(logits, labels)
    hits = ops.cast(ops.cast(ops.argmax(logits, axis=-1), "int32") == labels, "float32")
    both = ops.stack([ops.sum(losses * weights), ops.sum(hits * weights)])
    label = ops.expand_dims(labels, -1) == ops.arange(logits.shape[-1], dtype="int32")
    gradient = exponentials / total - ops.cast(label, "float32")
    gradient = gradient * ops.expand_dims(weights, -1)
    return both, enlarge_transposed(gradient, factor, axis=1)


def _blocks(height: int, row_bytes: float) -> int:
    """The smallest number of equal blocks of rows that are no larger than `BLOCK_BYTES`, if any is."""
    fitting = (n for n in range(1, height + 1) if height % n == 0 and height / n * row_bytes <= BLOCK_BYTES)
    return next(fitting, height)
