"""Pseudo labels from both branches, corrected by the subclass branch where the entropy gate is open."""

from __future__ import annotations

import math
from typing import Any, Literal

from keras import ops

from usrn_keras.losses.cross_entropy import pick

Tensor = Any
Gate = Literal["fallback", "stop", "off"]


def pseudo_labels(
    logits: Tensor, sub_logits: Tensor, parents: Tensor, *, gate: Gate = "fallback"
) -> dict[str, Tensor]:
    """Pseudo labels of the weak view, Eqs. 4 to 6, without gradient.

    The product `r = softmax(p) * onehot(parents[k*])` of Eq. 4 has one entry that is not
    zero, so its maximum is read off instead of built: no `(batch, height, width, classes)`
    mask is kept.

    Args:
        logits: `(batch, height, width, classes)` of F.
        sub_logits: `(batch, height, width, subclasses)` of F_sub.
        parents: `(subclasses,)` int.
        gate: See `usrn_losses`.

    Returns:
        Tensors `(batch, height, width)`: `labels` and `confidence` (argmax and max of r),
        `own_confidence` (max of F's softmax, before any correction), `sublabels` and
        `sub_confidence`, `open` (Eq. 6, bool).
    """
    logits = ops.stop_gradient(ops.cast(logits, "float32"))
    sub_logits = ops.stop_gradient(ops.cast(sub_logits, "float32"))
    probabilities = ops.softmax(logits, axis=-1)
    own_confidence = ops.max(probabilities, axis=-1)
    own_labels = ops.cast(ops.argmax(logits, axis=-1), "int32")
    sublabels = ops.cast(ops.argmax(sub_logits, axis=-1), "int32")
    parent = ops.cast(ops.take(parents, sublabels), "int32")
    parent_confidence = pick(probabilities, parent)

    if gate == "off":
        is_open = ops.ones_like(own_confidence, dtype="bool")
    else:
        is_open = normalised_entropy(sub_logits) <= normalised_entropy(logits)
    closed_confidence = ops.zeros_like(own_confidence) if gate == "stop" else own_confidence
    return {
        "labels": ops.where(is_open, parent, own_labels),
        "confidence": ops.where(is_open, parent_confidence, closed_confidence),
        "own_confidence": own_confidence,
        "sublabels": sublabels,
        "sub_confidence": ops.max(ops.softmax(sub_logits, axis=-1), axis=-1),
        "open": is_open,
    }


def normalised_entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax over its largest possible value: 0 is certain, 1 uniform (Eq. 6).

    Args:
        logits: `(..., channels)`. A single channel is certain by definition.

    Returns:
        `(...)` float32 in [0, 1].
    """
    logits = ops.cast(logits, "float32")
    channels = logits.shape[-1]
    if channels == 1:
        return ops.zeros_like(logits[..., 0])
    log_probabilities = ops.log_softmax(logits, axis=-1)
    entropy = -ops.sum(ops.exp(log_probabilities) * log_probabilities, axis=-1)
    return entropy / math.log(channels)
