"""Consistency of probabilities, and the ramp of its weight."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def consistency(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Compute the mean squared difference of probabilities over images, pixels and classes.

    Args:
        logits: Logits of the student, `(batch, height, width, classes)`.
        probabilities: Probabilities of the teacher, of the same shape; they get no gradient.

    Returns:
        float32 scalar.

    Example:

    >>> import numpy as np
    >>> float(consistency(np.zeros((1, 1, 1, 2), "float32"), np.float32([[[[1.0, 0.0]]]])))
    0.25
    """
    target = ops.stop_gradient(ops.convert_to_tensor(probabilities))
    difference = ops.softmax(ops.cast(logits, "float32"), axis=-1) - target
    return ops.mean(ops.square(difference))


def sigmoid_ramp(progress: Tensor, share: float) -> Tensor:
    """Compute the ramp `exp(-5 (1 - t)^2)` with `t = min(progress / share, 1)`.

    Args:
        progress: Completed share of training in 0..1, a tensor of one element.
        share: Share of training after which the ramp is 1; 0 for no ramp.

    Returns:
        float32 scalar, from 0.0067 to 1.

    Example:

    >>> [round(float(sigmoid_ramp(progress, 0.1)), 4) for progress in (0.0, 0.05, 0.1, 1.0)]
    [0.0067, 0.2865, 1.0, 1.0]
    """
    progress = ops.reshape(ops.cast(progress, "float32"), ())
    missing = 1.0 - ops.minimum(progress / share, 1.0) if share > 0 else ops.zeros_like(progress)
    return ops.exp(-5.0 * ops.square(missing))
