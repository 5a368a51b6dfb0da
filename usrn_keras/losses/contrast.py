"""Directional contrast of features with a memory bank, in blocks of the bank."""

from __future__ import annotations

from typing import Any

from keras import ops

from usrn_keras.losses.blocks import blocks_of_rows

Tensor = Any

BLOCK_BYTES = 64e6  # similarities of all anchors with a block of the bank; smaller blocks are slow on a GPU
UNKNOWN_ANCHORS = 8192  # assumed if the batch size is unknown while the graph is traced
EMPTY = -1  # label of the rows of a bank that hold no feature
LOWEST = -1e30  # similarity of a row that is no negative


def directional_contrast(
    features: Tensor,
    positives: Tensor,
    labels: Tensor,
    weights: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    *,
    temperature: float = 0.1,
) -> Tensor:
    """Compute the weighted contrast of features with their positives and the negatives of a bank.

        loss_i = log( e^(f_i . p_i / t) + sum e^(f_i . b_n / t) over labels(b_n) != labels_i ) - f_i . p_i / t
        loss   = sum weights_i loss_i

    The features alone have a gradient, which is exact. Both are computed in one pass over the bank, a block
    at a time, with a running maximum: the similarities of all features with the bank are never stored.
    Memory: three blocks of 64 MB, and three times the features.

    Args:
        features: Features f of unit length, `(anchors, channels)` float32.
        positives: Feature p of each anchor's positive, `(anchors, channels)`, without gradient.
        labels: Label of each anchor, `(anchors,)` int.
        weights: Weight of each anchor, `(anchors,)` float32, without gradient.
        bank: Features b of unit length in groups, `(groups, rows, channels)`, without gradient.
        bank_labels: Labels of the bank, `(groups, rows)` int; -1 for rows without a feature.
        temperature: Temperature t, above 0.

    Returns:
        float32 scalar.

    Example:

    >>> import numpy as np
    >>> one, two = np.float32([[1, 0]]), np.float32([[[1, 0], [0, 1], [0, 0]]])
    >>> labels, bank_labels = np.array([0]), np.array([[0, 1, -1]])  # one negative, at a right angle
    >>> weights = np.ones(1, "float32")
    >>> loss = directional_contrast(one, one, labels, weights, two, bank_labels, temperature=1.0)
    >>> round(float(loss), 4)  # log(e + 1) - 1
    0.3133
    """
    blocks = _blocks(bank, features.shape[0])
    bank = ops.stop_gradient(ops.reshape(bank, (-1, bank.shape[1] // blocks, bank.shape[2])))
    bank = ops.convert_to_tensor(bank)  # JAX gives back a NumPy array where it has nothing to compute
    bank_labels = ops.reshape(ops.cast(bank_labels, "int32"), (-1, bank.shape[1]))
    positives, labels = ops.stop_gradient(ops.convert_to_tensor(positives)), ops.cast(labels, "int32")
    weights = ops.stop_gradient(ops.convert_to_tensor(weights))

    @ops.custom_gradient
    def loss(features: Tensor) -> tuple[Tensor, Any]:
        losses, gradients = _in_blocks(features, positives, labels, bank, bank_labels, temperature)
        gradients = gradients * weights[:, None]

        def backward(*arguments: Tensor, upstream: Tensor | None = None) -> Tensor:
            return gradients * (arguments[0] if upstream is None else upstream)  # torch: a keyword argument

        return ops.sum(losses * weights), backward

    return loss(ops.cast(features, "float32"))


def _blocks(bank: Tensor, anchors: int | None) -> int:
    """Number of blocks in each group of the bank."""
    return blocks_of_rows(bank.shape[1], 4 * (anchors or UNKNOWN_ANCHORS), BLOCK_BYTES)


def _in_blocks(
    features: Tensor, positives: Tensor, labels: Tensor, bank: Tensor, bank_labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Loss of each anchor, and its gradient by the features: the mean of the rows, weighted by softmax."""
    queries = features / temperature
    own = ops.sum(queries * positives, axis=-1)

    def add_block(number: Any, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (largest, total, weighted), rows, row_labels = state, bank[number], bank_labels[number]
        similar = ops.matmul(queries, ops.transpose(rows))
        negative = ops.logical_and(row_labels != EMPTY, row_labels[None] != labels[:, None])
        similar = ops.where(negative, similar, LOWEST)
        raised = ops.maximum(largest, ops.max(similar, axis=-1))
        shrink, exponentials = ops.exp(largest - raised), ops.exp(similar - raised[:, None])
        total = total * shrink + ops.sum(exponentials, axis=-1)
        return raised, total, weighted * shrink[:, None] + ops.matmul(exponentials, rows)

    start = (own, ops.ones_like(own), positives)  # the positive is the first row
    largest, total, weighted = ops.fori_loop(0, ops.shape(bank)[0], add_block, start)
    gradients = (weighted / total[:, None] - positives) / temperature
    return largest + ops.log(total) - own, gradients
