"""Pseudo labels at full size, from logits at a stride."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from usrn_keras.losses.bilinear import upsample
from usrn_keras.losses.blocks import UNKNOWN_BATCH, blocks_of_rows, map_blocks
from usrn_keras.losses.cross_entropy import pixel_cross_entropy
from usrn_keras.losses.pseudo_labels import Gate, pseudo_labels

Tensor = Any

CORRECTED = ("labels", "confidence", "own_labels", "own_confidence", "open", "sublabels", "sub_confidence")


def upsampled_labels(logits: Tensor, factor: int) -> dict[str, Tensor]:
    """Compute label and confidence of every pixel of bilinearly upsampled logits, without gradient.

    The upsampled logits are never stored as a whole: a few rows of all images are computed at a time, as in
    `cross_entropy`.

    Args:
        logits: Logits `(batch, height, width, channels)`.
        factor: Upsampling factor f, at least 1 (half-pixel centres).

    Returns:
        Tensors `(batch, f * height, f * width)`: `labels` int32, the argmax, and `confidence` float32 in
        0..1, the maximum of the softmax.

    Example:

    >>> import numpy as np
    >>> found = upsampled_labels(np.log(np.array([[[[1.0, 3.0]]]], "float32")), factor=4)
    >>> tuple(found["labels"].shape), int(found["labels"][0, 0, 0])
    ((1, 4, 4), 1)
    >>> round(float(found["confidence"][0, 0, 0]), 4)
    0.75
    """

    def label(full: Tensor) -> tuple[Tensor, Tensor]:
        total = ops.sum(ops.exp(full - ops.max(full, axis=-1, keepdims=True)), axis=-1)
        return ops.cast(ops.argmax(full, axis=-1), "int32"), 1.0 / total

    labels, confidence = _in_blocks(label, [logits], factor)
    return {"labels": labels, "confidence": confidence}


def upsampled_corrected_labels(
    logits: Tensor, sub_logits: Tensor, parents: Tensor, factor: int, *, gate: Gate = "fallback"
) -> dict[str, Tensor]:
    """Compute `pseudo_labels` of every pixel of bilinearly upsampled logits of F and F_sub, in blocks.

    Args:
        logits: Logits of F, `(batch, height, width, classes)`.
        sub_logits: Logits of F_sub, `(batch, height, width, subclasses)`.
        parents: Class of each subclass, `(subclasses,)` int.
        factor: Upsampling factor f, at least 1 (half-pixel centres).
        gate: Treatment of the pixels where the entropy gate is closed, see `pseudo_labels`.

    Returns:
        The tensors of `pseudo_labels`, `(batch, f * height, f * width)`.

    Raises:
        ValueError: `gate` is unknown.

    Example:

    >>> import numpy as np
    >>> own = np.log(np.array([[[[0.6, 0.4]]]], "float32"))       # class 0, not certain
    >>> sub = np.log(np.array([[[[0.01, 0.98, 0.01]]]], "float32"))  # subclass 1, of class 1, almost certain
    >>> found = upsampled_corrected_labels(own, sub, np.array([0, 1, 1]), factor=2)
    >>> int(found["labels"][0, 0, 0]), int(found["own_labels"][0, 0, 0])
    (1, 0)
    """

    def label(full: Tensor, sub_full: Tensor) -> tuple[Tensor, ...]:
        found = pseudo_labels(full, sub_full, parents, gate=gate)
        return tuple(found[name] for name in CORRECTED)

    return dict(zip(CORRECTED, _in_blocks(label, [logits, sub_logits], factor), strict=True))


def label_probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Compute the probability of the label of every pixel, of bilinearly upsampled logits, without gradient.

    Args:
        logits: Logits `(batch, height / f, width / f, channels)` with an integer f.
        labels: Labels `(batch, height, width)` int below `channels`.

    Returns:
        `(batch, height, width)` float32 in 0..1.
    """

    def probability(full: Tensor, labels: Tensor) -> tuple[Tensor]:
        return (ops.exp(-pixel_cross_entropy(full, labels)),)

    factor = labels.shape[1] // logits.shape[1]
    return _in_blocks(probability, [logits], factor, [ops.cast(labels, "int32")])[0]


def _in_blocks(label: Any, inputs: list[Tensor], factor: int, full: Sequence[Tensor] = ()) -> list[Tensor]:
    """Apply `label` to blocks of rows of the upsampled inputs; join its results, `(batch, height, width)`.

    `full` are further arguments of `label`, which have full size, `(batch, height, width)`.
    """
    inputs = [ops.stop_gradient(ops.cast(values, "float32")) for values in inputs]
    batch, rows, columns = inputs[0].shape[:3]
    height, width = rows * factor, columns * factor
    channels = sum(values.shape[-1] for values in inputs)
    blocks = blocks_of_rows(height, 4 * (batch or UNKNOWN_BATCH) * width * channels)

    def split(values: Tensor) -> Tensor:
        tall = upsample(values, factor, axis=1)
        tall = ops.reshape(tall, (-1, blocks, height // blocks, columns, values.shape[-1]))
        return ops.transpose(tall, (1, 0, 2, 3, 4))

    def split_full(values: Tensor) -> Tensor:
        return ops.transpose(ops.reshape(values, (-1, blocks, height // blocks, width)), (1, 0, 2, 3))

    def block(some: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        wide = (upsample(values, factor, axis=2) for values in some[: len(inputs)])
        return label(*wide, *some[len(inputs) :])

    found = map_blocks(block, (*map(split, inputs), *map(split_full, full)))
    return [ops.reshape(ops.transpose(values, (1, 0, 2, 3)), (-1, height, width)) for values in found]
