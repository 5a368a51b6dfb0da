"""Pseudo labels of F, of F_sub, and of both branches."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from keras import ops

from usrn_keras.losses.cross_entropy import take_channel

Tensor = Any
Gate = Literal["fallback", "stop", "off", "closed"]


def pseudo_labels(
    logits: Tensor,
    sub_logits: Tensor | None,
    parents: Tensor,
    *,
    gate: Gate = "fallback",
) -> dict[str, Tensor]:
    """Compute the pseudo labels of the weak view, Eqs. 4 to 6, without gradient.

    The product `r = softmax(p) * onehot(parents[k*])` of Eq. 4 has a single nonzero entry, so its maximum is
    read directly and no mask `(batch, height, width, classes)` is stored.

    Args:
        logits: Logits of F, `(batch, height, width, classes)`.
        sub_logits: Logits of F_sub, `(batch, height, width, subclasses)`. If None, the labels are those of F.
        parents: Class of each subclass, `(subclasses,)` int.
        gate: Treatment of the pixels where the entropy gate (Eq. 6) is closed: `fallback` keeps the label of
            F (official code), `stop` sets the confidence to 0 (text of the paper). `off` opens the gate at
            all pixels, `closed` closes it at all pixels.

    Returns:
        Tensors `(batch, height, width)`: `labels` int32 and `confidence` float32 (argmax and max of r),
        `own_labels` and `own_confidence` (argmax and max of the softmax of F), `open` (Eq. 6, bool), and,
        with `sub_logits`, `sublabels` and `sub_confidence`.

    Raises:
        ValueError: `gate` is unknown.
    """
    validate_gate(gate)
    logits = ops.stop_gradient(ops.cast(logits, "float32"))
    probabilities = ops.softmax(logits, axis=-1)
    own = {
        "own_labels": ops.cast(ops.argmax(logits, axis=-1), "int32"),
        "own_confidence": ops.max(probabilities, axis=-1),
    }
    uncorrected = {
        "labels": own["own_labels"],
        "confidence": own["own_confidence"],
        "open": ops.zeros_like(own["own_labels"], dtype="bool"),
    }
    if sub_logits is None:
        return own | uncorrected
    sub_logits = ops.stop_gradient(ops.cast(sub_logits, "float32"))
    sub = subclass_pseudo_labels(sub_logits)
    if gate == "closed":
        return own | uncorrected | sub
    if gate == "off":
        is_open = ops.ones_like(own["own_labels"], dtype="bool")
    else:
        is_open = normalised_entropy(sub_logits) <= normalised_entropy(logits)
    labels = ops.cast(ops.take(parents, sub["sublabels"]), "int32")
    confidence = take_channel(probabilities, labels)
    where_closed = own["own_confidence"]
    if gate == "stop":
        where_closed = ops.zeros_like(where_closed)
    corrected = {
        "labels": ops.where(is_open, labels, own["own_labels"]),
        "confidence": ops.where(is_open, confidence, where_closed),
        "open": is_open,
    }
    return own | corrected | sub


def ensemble_pseudo_labels(logits: Tensor, sub_logits: Tensor, parents: Tensor) -> dict[str, Tensor]:
    """Compute pseudo labels from the mean of the class probabilities of F and F_sub, without gradient.

    The probabilities of F_sub assume equally frequent classes, see `unbiased_class_probabilities`. A related
    method is DASO (arXiv 2106.05682), which blends the labels of a similarity-based classifier with those
    of the linear classifier.

    Args:
        logits: Logits of F, `(batch, height, width, classes)`.
        sub_logits: Logits of F_sub, `(batch, height, width, subclasses)`.
        parents: Class of each subclass, `(subclasses,)` int.

    Returns:
        The tensors that `pseudo_labels` returns; `open` is true everywhere.
    """
    logits = ops.stop_gradient(ops.cast(logits, "float32"))
    sub_logits = ops.stop_gradient(ops.cast(sub_logits, "float32"))
    probabilities = ops.softmax(logits, axis=-1)
    vote = (probabilities + unbiased_class_probabilities(sub_logits, parents, logits.shape[-1])) / 2
    own_labels = ops.cast(ops.argmax(logits, axis=-1), "int32")
    return {
        "own_labels": own_labels,
        "own_confidence": ops.max(probabilities, axis=-1),
        "labels": ops.cast(ops.argmax(vote, axis=-1), "int32"),
        "confidence": ops.max(vote, axis=-1),
        "open": ops.ones_like(own_labels, dtype="bool"),
        **subclass_pseudo_labels(sub_logits),
    }


def validate_gate(gate: str) -> None:
    """Check the name of a gate.

    Args:
        gate: Name of the gate.

    Raises:
        ValueError: The gate is unknown.

    Example:

    >>> validate_gate("stopp")
    Traceback (most recent call last):
        ...
    ValueError: `gate` must be one of fallback, stop, off, closed, received 'stopp'
    """
    if gate not in get_args(Gate):
        raise ValueError(f"`gate` must be one of {', '.join(get_args(Gate))}, received {gate!r}")


def unbiased_class_probabilities(sub_logits: Tensor, parents: Tensor, classes: int) -> Tensor:
    """Compute the class probabilities of F_sub under equally frequent classes.

    Subclasses are equal in size, so the frequency of a class is proportional to its number of subclasses.
    The mean of their probabilities, unlike the sum, removes this factor.

    Args:
        sub_logits: Logits of F_sub, `(..., subclasses)`.
        parents: Class of each subclass, `(subclasses,)` int.
        classes: Number of classes C.

    Returns:
        `(..., classes)` float32 in 0..1 that sum to 1; 0 for a class without subclasses.

    Example:

    >>> import numpy as np
    >>> logits = np.log(np.array([[0.3, 0.3, 0.4]], "float32"))
    >>> found = unbiased_class_probabilities(logits, np.array([0, 0, 1]), 2)  # 0.3 and 0.4, over 0.7
    >>> np.round(ops.convert_to_numpy(found), 2).tolist()
    [[0.4300000071525574, 0.5699999928474426]]
    """
    members = ops.one_hot(ops.cast(parents, "int32"), classes, dtype="float32")
    members = members / ops.maximum(ops.sum(members, axis=0), 1.0)
    means = ops.matmul(ops.softmax(ops.cast(sub_logits, "float32"), axis=-1), members)
    return means / ops.sum(means, axis=-1, keepdims=True)


def subclass_pseudo_labels(sub_logits: Tensor) -> dict[str, Tensor]:
    """Compute the pseudo labels of F_sub: k* and its confidence (Eq. 5).

    Args:
        sub_logits: Logits of F_sub, `(batch, height, width, subclasses)`.

    Returns:
        Tensors `(batch, height, width)`: `sublabels` int32 and `sub_confidence` in 0..1.
    """
    sub_logits = ops.stop_gradient(ops.cast(sub_logits, "float32"))
    return {
        "sublabels": ops.cast(ops.argmax(sub_logits, axis=-1), "int32"),
        "sub_confidence": ops.max(ops.softmax(sub_logits, axis=-1), axis=-1),
    }


def normalised_entropy(logits: Tensor) -> Tensor:
    """Compute the entropy of the softmax divided by its maximum: 0 is certain, 1 is uniform (Eq. 6).

    Args:
        logits: Logits `(..., channels)`. The entropy of a single channel is 0.

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
