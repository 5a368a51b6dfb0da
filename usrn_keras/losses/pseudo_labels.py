"""Pseudo labels of F, of F_sub, and of both branches."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

from keras import ops

from usrn_keras.losses.cross_entropy import take_channel

Tensor = Any
Gate = Literal["fallback", "stop", "off", "closed"]
GateLevel = Literal["subclass", "class"]


def pseudo_labels(
    logits: Tensor,
    sub_logits: Tensor | None,
    parents: Tensor,
    *,
    gate: Gate = "fallback",
    gate_level: GateLevel = "subclass",
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
        gate_level: Entropy of F_sub that the gate compares with that of F: over the subclasses (`subclass`,
            Eq. 6), or over the sums of their probabilities by class (`class`), which leaves out the doubt
            about which subclass of a class it is.

    Returns:
        Tensors `(batch, height, width)`: `labels` int32 and `confidence` float32 (argmax and max of r),
        `own_labels` and `own_confidence` (argmax and max of the softmax of F), `open` (Eq. 6, bool), and,
        with `sub_logits`, `sublabels` and `sub_confidence`.

    Raises:
        ValueError: `gate` or `gate_level` is unknown.
    """
    validate_gate(gate, gate_level)
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
        is_open = sub_entropy(sub_logits, parents, logits.shape[-1], gate_level) <= normalised_entropy(logits)
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


def validate_gate(gate: str, gate_level: str = "subclass") -> None:
    """Check the names of a gate and of its level.

    Args:
        gate: Name of the gate.
        gate_level: Name of the level.

    Raises:
        ValueError: The gate or the level is unknown.

    Example:

    >>> validate_gate("stopp")
    Traceback (most recent call last):
        ...
    ValueError: `gate` must be one of fallback, stop, off, closed, received 'stopp'
    """
    for name, value, allowed in (("gate", gate, Gate), ("gate_level", gate_level, GateLevel)):
        if value not in get_args(allowed):
            raise ValueError(f"`{name}` must be one of {', '.join(get_args(allowed))}, received {value!r}")


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


def sub_entropy(sub_logits: Tensor, parents: Tensor, classes: int, level: GateLevel = "subclass") -> Tensor:
    """Compute the normalised entropy of F_sub over the subclasses or over the classes.

    Args:
        sub_logits: Logits of F_sub, `(..., subclasses)`.
        parents: Class of each subclass, `(subclasses,)` int.
        classes: Number of classes C.
        level: `subclass`, the entropy over log K of Eq. 6; or `class`, that of the sums of the probabilities
            by class over log C.

    Returns:
        `(...)` float32 in [0, 1].

    Example:

    >>> import numpy as np
    >>> logits = np.log(np.array([[0.5, 0.5, 1e-9]], "float32"))  # surely class 0, but which subclass?
    >>> [round(float(sub_entropy(logits, np.array([0, 0, 1]), 2, level)[0]), 2)
    ...     for level in ("subclass", "class")]
    [0.63, 0.0]
    """
    if level == "subclass":
        return normalised_entropy(sub_logits)
    log_probabilities = ops.log_softmax(ops.cast(sub_logits, "float32"), axis=-1)
    members = ops.one_hot(ops.cast(parents, "int32"), classes, dtype="float32")
    sums = ops.matmul(ops.exp(log_probabilities), members)
    entropy = -ops.sum(sums * ops.log(ops.maximum(sums, 1e-30)), axis=-1)
    return entropy / math.log(classes) if classes > 1 else ops.zeros_like(entropy)


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
