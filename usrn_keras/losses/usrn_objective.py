"""The objective of USRN (CVPR 2022, arXiv 2203.10026), Equations 2 to 8, on any Keras backend."""

from __future__ import annotations

from typing import Any

from keras import ops

from usrn_keras.losses.cross_entropy import cross_entropy_and_accuracy, pixel_cross_entropy
from usrn_keras.losses.pseudo_labels import Gate, GateLevel, pseudo_labels, subclass_pseudo_labels

Tensor = Any


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
    """Compute all terms of the USRN objective, Eq. 8: `L_s + lambda_u * (L_e + lambda_sub * L_sub)`.

    Args:
        logits: Logits of the class branch F, keys `labelled`, `weak` and `strong`, each
            `(batch, height, width, classes)`. The weak view has no gradient.
        sub_logits: Logits of the subclass branch F_sub, with the same keys and sizes and `subclasses`
            channels.
        labels: Class ids, `(batch, height, width)` int. The labelled logits may be smaller by an integer
            factor; then they are upsampled bilinearly.
        sublabels: Subclass ids, `(batch, height, width)` int. A pixel is ignored by both
            supervised losses where its label is `ignore_index`, and by the subclass loss
            also where its sublabel is negative.
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: gamma, the confidence that a pseudo label must exceed.
        lambda_u: Weight of the losses on unlabelled images.
        lambda_sub: Weight of the subclass losses.
        gate: Treatment of the pixels where the entropy gate (Eq. 6) is closed: `fallback` trains F on its
            own pseudo label (official code), `stop` leaves the pixel out (text of the paper). `off` opens
            the gate at all pixels; `closed` closes it at all pixels, which is plain self-training.
        ignore_index: Label of pixels without a class.

    Returns:
        float32 scalars: `supervised`, `supervised_sub` (Eq. 2), `self_training` (L_e, Eq. 7),
        `self_training_sub` (L_sub, Eq. 5), `loss`; and, as shares of the unlabelled pixels,
        `confident` (pixels that train F), `confident_sub` (pixels that train F_sub), `gate_open`,
        `gate_dropped` (confident without the mask of F_sub, but not with it) and `label_overridden`
        (confident, with another label than that of F: always 0 if gamma is above one half).

    Raises:
        ValueError: `gate` is unknown.

    Example:

    >>> import numpy as np
    >>> views = ("labelled", "weak", "strong")
    >>> logits = {view: np.zeros((1, 4, 4, 2), "float32") for view in views}
    >>> sub_logits = {view: np.zeros((1, 4, 4, 3), "float32") for view in views}
    >>> labels = np.zeros((1, 4, 4), "int32")
    >>> terms = usrn_losses(logits, sub_logits, labels, labels, np.array([0, 0, 1]))
    >>> round(float(terms["loss"]), 4)  # log 2 + log 3: no pixel is confident
    1.7918
    """
    labelled = supervised_losses(
        logits["labelled"],
        sub_logits["labelled"],
        labels,
        sublabels,
        lambda_sub=lambda_sub,
        ignore_index=ignore_index,
    )
    unlabelled = unlabelled_losses(
        logits,
        sub_logits,
        parents,
        threshold=threshold,
        lambda_u=lambda_u,
        lambda_sub=lambda_sub,
        gate=gate,
    )
    return labelled | unlabelled | {"loss": labelled["loss"] + unlabelled["loss"]}


def supervised_losses(
    logits: Tensor,
    sub_logits: Tensor | None,
    labels: Tensor,
    sublabels: Tensor | None = None,
    *,
    lambda_sub: float = 1.0,
    ignore_index: int = 255,
) -> dict[str, Tensor]:
    """Compute the loss on labelled images, `L_s` (Eq. 2).

    Args:
        logits: Logits of F, `(batch, height / f, width / f, classes)` with an integer f, see `usrn_losses`.
        sub_logits: Logits of F_sub, `(batch, height / f, width / f, subclasses)`, or None to leave out its
            loss.
        labels: Class ids, `(batch, height, width)` int.
        sublabels: Subclass ids, `(batch, height, width)` int; required with `sub_logits`.
        lambda_sub: Weight of the subclass loss.
        ignore_index: Label of pixels without a class.

    Returns:
        float32 scalars `supervised`, `supervised_sub` (with `sub_logits`) and `loss`, their weighted sum.
    """
    valid = labels != ignore_index
    supervised, _ = cross_entropy_and_accuracy(logits, labels, valid)
    if sub_logits is None:
        return {"loss": supervised, "supervised": supervised}
    valid_sub = ops.logical_and(valid, sublabels >= 0)
    supervised_sub, _ = cross_entropy_and_accuracy(sub_logits, sublabels, valid_sub)
    return {
        "loss": supervised + lambda_sub * supervised_sub,
        "supervised": supervised,
        "supervised_sub": supervised_sub,
    }


def unlabelled_losses(
    logits: dict[str, Tensor | None],
    sub_logits: dict[str, Tensor | None],
    parents: Tensor,
    *,
    threshold: float = 0.75,
    lambda_u: float = 1.0,
    lambda_sub: float = 1.0,
    gate: Gate = "fallback",
    gate_level: GateLevel = "subclass",
    sub_threshold: float | None = None,
    sub_targets: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Compute the losses on unlabelled images, `lambda_u * (L_e + lambda_sub * L_sub)` (Eqs. 4 to 7).

    Args:
        logits: Logits of F, keys `weak` and `strong`, `(batch, height, width, classes)`. L_e is left out
            without `strong`.
        sub_logits: Logits of F_sub, keys `weak` and `strong`, `(batch, height, width, subclasses)`. `weak`
            gives the mask and the subclass labels. L_sub is left out without `strong`.
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: gamma, the confidence that a pseudo label must exceed.
        lambda_u: Weight of the losses on unlabelled images.
        lambda_sub: Weight of the subclass loss.
        gate: Treatment of the pixels where the entropy gate is closed, see `usrn_losses`.
        gate_level: Entropy of F_sub that the gate reads, see `pseudo_labels`.
        sub_threshold: Confidence that a label of F_sub must exceed in L_sub; None for `threshold`.
        sub_targets: `sublabels` and `sub_confidence` `(batch, height, width)` that L_sub teaches; None for
            those of the weak view of F_sub (Eq. 5).

    Returns:
        float32 scalars as in `usrn_losses`: with L_e `self_training`, `confident`, `gate_open`,
        `gate_dropped` and `label_overridden`, with L_sub `self_training_sub` and `confident_sub`, and
        `loss`, the weighted sum.

    Raises:
        ValueError: `gate` or `gate_level` is unknown.
    """
    parts, total, pseudo = {}, 0.0, {}
    if logits.get("strong") is not None:
        weak, sub_weak = logits["weak"], sub_logits.get("weak")
        pseudo = pseudo_labels(weak, sub_weak, parents, gate=gate, gate_level=gate_level)
        parts |= self_training_losses(logits["strong"], pseudo, threshold)
        total = total + parts["self_training"]
    if sub_logits.get("strong") is not None:
        sub = sub_targets
        if sub is None:
            sub = pseudo if "sublabels" in pseudo else subclass_pseudo_labels(sub_logits["weak"])
        confident = sub["sub_confidence"] > (threshold if sub_threshold is None else sub_threshold)
        loss = _masked_mean(pixel_cross_entropy(sub_logits["strong"], sub["sublabels"]), confident)
        parts |= {"self_training_sub": loss, "confident_sub": _share(confident)}
        total = total + lambda_sub * loss
    return {"loss": lambda_u * total, **parts}


def self_training_losses(
    logits: Tensor, pseudo: dict[str, Tensor], threshold: float | Tensor
) -> dict[str, Tensor]:
    """Compute L_e on the strong view (Eq. 7) and the shares of pixels that describe it.

    Args:
        logits: Logits of F, `(batch, height, width, classes)`.
        pseudo: Pseudo labels, see `pseudo_labels`.
        threshold: gamma, the confidence that a pseudo label must exceed; a number or a scalar.

    Returns:
        float32 scalars `self_training`, `confident`, `gate_open`, `gate_dropped` and `label_overridden`, see
        `usrn_losses`.
    """
    confident = pseudo["confidence"] > threshold
    dropped = ops.logical_and(pseudo["own_confidence"] > threshold, ops.logical_not(confident))
    overridden = ops.logical_and(confident, pseudo["labels"] != pseudo["own_labels"])
    return {
        "self_training": _masked_mean(pixel_cross_entropy(logits, pseudo["labels"]), confident),
        "confident": _share(confident),
        "gate_open": _share(pseudo["open"]),
        "gate_dropped": _share(dropped),
        "label_overridden": _share(overridden),
    }


def _masked_mean(losses: Tensor, mask: Tensor) -> Tensor:
    """Mean over all pixels; pixels outside the mask count as zero (Eqs. 5 and 7)."""
    return ops.mean(losses * ops.cast(mask, losses.dtype))


def _share(mask: Tensor) -> Tensor:
    return ops.mean(ops.cast(mask, "float32"))
