"""Pseudo labels at full size, from logits at a stride."""

from __future__ import annotations

from typing import Any

from keras import ops

from usrn_keras.losses.bilinear import upsample
from usrn_keras.losses.cross_entropy import UNKNOWN_BATCH, blocks_of_rows

Tensor = Any


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
    logits = ops.stop_gradient(ops.cast(logits, "float32"))
    batch, rows, columns, channels = logits.shape
    height, width = rows * factor, columns * factor
    blocks = blocks_of_rows(height, 4 * (batch or UNKNOWN_BATCH) * width * channels)
    tall = ops.reshape(upsample(logits, factor, axis=1), (-1, blocks, height // blocks, columns, channels))

    def block(some: Tensor) -> tuple[Tensor, Tensor]:
        full = upsample(some, factor, axis=2)
        total = ops.sum(ops.exp(full - ops.max(full, axis=-1, keepdims=True)), axis=-1)
        return ops.cast(ops.argmax(full, axis=-1), "int32"), 1.0 / total

    found = ops.map(block, ops.transpose(tall, (1, 0, 2, 3, 4)))
    labels, confidence = (
        ops.reshape(ops.transpose(values, (1, 0, 2, 3)), (-1, height, width)) for values in found
    )
    return {"labels": labels, "confidence": confidence}
