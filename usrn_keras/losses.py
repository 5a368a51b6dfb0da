"""The losses of USRN (CVPR 2022, arXiv 2203.10026), Equations 2 to 8, on any Keras backend.

Plain functions of logits and labels: no layers, no recipe, no state.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from keras import ops

Tensor = Any
Gate = Literal["fallback", "stop", "off"]


def usrn_losses(
    logits: dict[str, Tensor],
    sub_logits: dict[str, Tensor],
    labels: Tensor,
    sublabels: Tensor,
    parents: Tensor,
    *,
    threshold: float = 0.75,
    lambda_u: float = 1.0,
    lambda_sub: float = 1.0,
    gate: Gate = "fallback",
    ignore_index: int = 255,
) -> dict[str, Tensor]:
    """All terms of USRN's objective, Eq. 8: `L_s + lambda_u * (L_e + lambda_sub * L_sub)`.

    Args:
        logits: Of the class branch F, keys `labelled`, `weak` and `strong`, each
            `(batch, height, width, classes)`. The weak view carries no gradient.
        sub_logits: Of the subclass branch F_sub, the same keys and sizes, `subclasses` channels.
        labels: `(batch, height, width)` int, class ids at the size of the labelled logits.
        sublabels: `(batch, height, width)` int, subclass ids. A pixel is ignored by both
            supervised losses where its label is `ignore_index`, and by the subclass loss
            also where its sublabel is negative.
        parents: `(subclasses,)` int, the class of each subclass.
        threshold: gamma, the confidence a pseudo label must exceed.
        lambda_u: Weight of the losses on unlabelled images.
        lambda_sub: Weight of the subclass losses.
        gate: What becomes of a pixel where the entropy gate (Eq. 6) is closed: `fallback`
            trains F on its own pseudo label (the official code), `stop` leaves the pixel out
            (the paper's text). `off` holds the gate open everywhere.
        ignore_index: Label of pixels without a class.

    Returns:
        float32 scalars: `supervised`, `supervised_sub` (Eq. 2), `self_training` (L_e, Eq. 7),
        `self_training_sub` (L_sub, Eq. 5), `loss`; and, as shares of the unlabelled pixels,
        `confident` (F is trained there), `confident_sub` (F_sub is), `gate_open`, and
        `gate_dropped` (confident without the gate's correction, not with it).

    Example:

    >>> import numpy as np
    >>> views = ("labelled", "weak", "strong")
    >>> logits = {view: np.zeros((1, 4, 4, 2), "float32") for view in views}
    >>> sub_logits = {view: np.zeros((1, 4, 4, 3), "float32") for view in views}
    >>> labels = np.zeros((1, 4, 4), "int32")
    >>> terms = usrn_losses(logits, sub_logits, labels, labels, np.array([0, 0, 1]))
    >>> round(float(terms["loss"]), 4)  # log 2 + log 3: nothing is confident yet
    1.7918
    """
    supervised = cross_entropy(logits["labelled"], labels, labels != ignore_index)
    labelled_sub = ops.logical_and(labels != ignore_index, sublabels >= 0)
    supervised_sub = cross_entropy(sub_logits["labelled"], sublabels, labelled_sub)

    pseudo = pseudo_labels(logits["weak"], sub_logits["weak"], parents, gate=gate)
    confident = pseudo["confidence"] > threshold
    confident_sub = pseudo["sub_confidence"] > threshold
    self_training = _masked_mean(pixel_cross_entropy(logits["strong"], pseudo["labels"]), confident)
    self_training_sub = _masked_mean(
        pixel_cross_entropy(sub_logits["strong"], pseudo["sublabels"]), confident_sub
    )

    labelled_loss = supervised + lambda_sub * supervised_sub
    unlabelled_loss = self_training + lambda_sub * self_training_sub
    dropped = ops.logical_and(pseudo["own_confidence"] > threshold, ops.logical_not(confident))
    return {
        "loss": labelled_loss + lambda_u * unlabelled_loss,
        "supervised": supervised,
        "supervised_sub": supervised_sub,
        "self_training": self_training,
        "self_training_sub": self_training_sub,
        "confident": _share(confident),
        "confident_sub": _share(confident_sub),
        "gate_open": _share(pseudo["open"]),
        "gate_dropped": _share(dropped),
    }


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
    parent_confidence = _pick(probabilities, parent)

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


def cross_entropy(logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean cross entropy over the pixels where `mask` holds; 0 where it holds nowhere.

    Args:
        logits: `(batch, height, width, channels)`.
        labels: `(batch, height, width)` int; anything where the mask is false.
        mask: `(batch, height, width)` bool.

    Returns:
        float32 scalar.
    """
    # An ignored id such as 255 is no channel: any valid one will do, the mask removes it.
    losses = pixel_cross_entropy(logits, ops.where(mask, labels, ops.zeros_like(labels)))
    weights = ops.cast(mask, losses.dtype)
    return ops.sum(losses * weights) / ops.maximum(ops.sum(weights), 1.0)


def pixel_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of every pixel, `(batch, height, width)` float32: `logsumexp - logit`."""
    logits = ops.cast(logits, "float32")
    return ops.logsumexp(logits, axis=-1) - _pick(logits, labels)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """The channel `index` of each pixel: `(..., channels)`, `(...)` -> `(...)`."""
    return ops.squeeze(
        ops.take_along_axis(values, ops.expand_dims(ops.cast(index, "int32"), -1), axis=-1), -1
    )


def _masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Mean over all pixels, those outside the mask counting as zero (Eqs. 5 and 7)."""
    return ops.mean(losses * ops.cast(mask, losses.dtype))


def _share(mask: Tensor) -> Tensor:
    return ops.mean(ops.cast(mask, "float32"))
