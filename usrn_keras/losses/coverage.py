"""Coverage: the threshold that a share of the pixels exceeds, and a share that changes over training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

Tensor = Any


def threshold_of_share(confidence: Tensor, share: Tensor | float) -> Tensor:
    """Compute the threshold that the most confident pixels exceed, as many as a share of all.

    Args:
        confidence: Confidence of each pixel in 0..1, of any shape.
        share: Share of the pixels in 0..1; rounded to whole pixels.

    Returns:
        float32 scalar. Of `n` pixels the `round(share * n)` most confident ones exceed it, fewer if several
        have the confidence of the first one that does not count.

    Example:

    >>> import numpy as np
    >>> confidence = np.float32([[0.9, 0.5], [0.7, 0.6]])
    >>> float((confidence > threshold_of_share(confidence, 0.5)).mean())
    0.5
    """
    ranked = ops.sort(ops.reshape(ops.cast(confidence, "float32"), (-1,)))
    pixels = ops.shape(ranked)[0]
    left_out = ops.cast(pixels, "float32") * (1.0 - ops.cast(share, "float32"))
    place = ops.cast(ops.round(left_out), "int32") - 1  # of the most confident pixel that does not count
    least = ops.take(ranked, ops.maximum(place, 0))
    return ops.where(place < 0, -1.0, least)


def value_at(progress: Tensor, values: Sequence[float]) -> Tensor:
    """Compute the value of a piecewise linear curve at a point of training.

    Args:
        progress: Completed share of training in 0..1, a tensor of one element.
        values: Values of the curve at equal intervals, the first at 0 and the last at 1; one for a constant.

    Returns:
        float32 scalar.

    Example:

    >>> [round(float(value_at(progress, [0.8, 0.9, 0.7])), 4) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.8, 0.85, 0.9, 0.7]
    """
    progress = ops.clip(ops.reshape(ops.cast(progress, "float32"), ()), 0.0, 1.0)
    position = progress * (len(values) - 1)
    # Each value counts where it is less than one interval away, in proportion to its nearness.
    return sum(value * ops.relu(1.0 - ops.abs(position - place)) for place, value in enumerate(values))
