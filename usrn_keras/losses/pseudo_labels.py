"""Pseudo labels of F, of F_sub, and of both together."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from keras import ops

from usrn_keras.losses.cross_entropy import pick

Tensor = Any
Gate = Literal["fallback", "stop", "off", "closed"]


def pseudo_labels(
    logits: Tensor,
    sub_logits: Tensor | None,
    parents: Tensor,
    *,
    gate: Gate = "fallback",
) -> dict[str, Tensor]:
    """Pseudo labels of the weak view, Eqs. 4 to 6, without gradient.

    The product `r = softmax(p) * onehot(parents[k*])` of Eq. 4 has one entry that is not
    zero, so its maximum is read off instead of built: no `(batch, height, width, classes)`
    mask is kept.

    Args:
        logits: Logits of F, `(batch, height, width, classes)`.
        sub_logits: Logits of F_sub, `(batch, height, width, subclasses)`; None: F alone makes the labels.
        parents: Class of each subclass, `(subclasses,)` int.
        gate: What happens to a pixel where the entropy gate (Eq. 6) is closed: `fallback` keeps F's own
            label (the official code), `stop` gives it the confidence 0 (the paper's text). `off` holds the
            gate open everywhere, `closed` nowhere.

    Returns:
        Tensors `(batch, height, width)`: `labels` and `confidence` (argmax and max of r), `own_labels`
        and `own_confidence` (those of F's softmax, before any correction), `open` (Eq. 6, bool), and,
        with `sub_logits`, `sublabels` and `sub_confidence`.

    Raises:
        ValueError: There is no such `gate`.
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
    confidence = pick(probabilities, labels)
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
    """Pseudo labels by the vote of F and F_sub: the mean of their class probabilities, without gradient.

    F_sub's probabilities count every class as equally frequent, see `unbiased_class_probabilities`. A close
    relative is DASO (arXiv 2106.05682), which blends the labels of a similarity-based classifier with those
    of the linear one.

    Args:
        logits: Logits of F, `(batch, height, width, classes)`.
        sub_logits: Logits of F_sub, `(batch, height, width, subclasses)`.
        parents: Class of each subclass, `(subclasses,)` int.

    Returns:
        As `pseudo_labels`; `open` holds everywhere.
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
    """Raise a `ValueError` for a gate that does not exist.

    Example:

    >>> validate_gate("stopp")
    Traceback (most recent call last):
        ...
    ValueError: `gate` must be one of fallback, stop, off, closed, received 'stopp'
    """
    if gate not in get_args(Gate):
        raise ValueError(f"`gate` must be one of {', '.join(get_args(Gate))}, received {gate!r}")


def unbiased_class_probabilities(sub_logits: Tensor, parents: Tensor, classes: int) -> Tensor:
    """Class probabilities of F_sub with every class taken as equally frequent.

    Subclasses are equal in size, so a class is as frequent as it has subclasses. The mean of their
    probabilities, unlike the sum, leaves that out.

    Args:
        sub_logits: Logits of F_sub, `(..., subclasses)`.
        parents: Class of each subclass, `(subclasses,)` int.
        classes: Number of classes C.

    Returns:
        `(..., classes)` float32 in 0..1 that add up to 1; 0 for a class without subclasses.

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
    """F_sub's own pseudo labels: k* and its confidence (Eq. 5).

    Args:
        sub_logits: `(batch, height, width, subclasses)` of F_sub.

    Returns:
        Tensors `(batch, height, width)`: `sublabels` int32 and `sub_confidence` in 0..1.
    """
    sub_logits = ops.stop_gradient(ops.cast(sub_logits, "float32"))
    return {
        "sublabels": ops.cast(ops.argmax(sub_logits, axis=-1), "int32"),
        "sub_confidence": ops.max(ops.softmax(sub_logits, axis=-1), axis=-1),
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
