"""The objective of USRN (CVPR 2022, arXiv 2203.10026), Equations 2 to 8, on any Keras backend."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from keras import ops

from usrn_keras.losses.cross_entropy import cross_entropy_and_accuracy, pixel_cross_entropy
from usrn_keras.losses.pseudo_labels import pseudo_labels, subclass_pseudo_labels
from usrn_keras.terms import ALL_TERMS, Correction, Gate, gate_of, refuse_unknown

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
    correction: Correction = "mask",
    terms: Collection[str] = ALL_TERMS,
    ignore_index: int = 255,
) -> dict[str, Tensor]:
    """All terms of USRN's objective, Eq. 8: `L_s + lambda_u * (L_e + lambda_sub * L_sub)`.

    Args:
        logits: Of the class branch F, keys `labelled`, `weak` and `strong`, each
            `(batch, height, width, classes)`. The weak view carries no gradient.
        sub_logits: Of the subclass branch F_sub, the same keys and sizes, `subclasses` channels.
        labels: `(batch, height, width)` int, class ids; the labelled logits may be an integer number of
            times smaller, then they are upsampled bilinearly.
        sublabels: `(batch, height, width)` int, subclass ids. A pixel is ignored by both
            supervised losses where its label is `ignore_index`, and by the subclass loss
            also where its sublabel is negative.
        parents: `(subclasses,)` int, the class of each subclass.
        threshold: gamma, the confidence a pseudo label must exceed.
        lambda_u: Weight of the losses on unlabelled images.
        lambda_sub: Weight of the subclass losses.
        gate: What becomes of a pixel where the entropy gate (Eq. 6) is closed: `fallback`
            trains F on its own pseudo label (the official code), `stop` leaves the pixel out
            (the paper's text). `off` holds the gate open everywhere, `closed` nowhere: plain
            self-training.
        correction: What F_sub does to F's pseudo label where the gate is open. `mask`: the product of Eq. 4.
            With gamma above one half it never changes a label, it drops those that F_sub contradicts.
            `replace`: r is what F_sub says of classes, see `unbiased_class_probabilities`. So F_sub teaches F
            what F does not know. `average`: r is the mean of that and F's softmax, so that either can
            teach. Neither is in the paper.
        terms: Names of `TERMS` that the objective is made of, the paper's ablation (Table 3). Those
            left out are not computed.
        ignore_index: Label of pixels without a class.

    Returns:
        float32 scalars: `supervised`, `supervised_sub` (Eq. 2), `self_training` (L_e, Eq. 7),
        `self_training_sub` (L_sub, Eq. 5), `loss`; and, as shares of the unlabelled pixels,
        `confident` (F is trained there), `confident_sub` (F_sub is), `gate_open`, `gate_dropped`
        (confident without F_sub's mask, not with it) and `label_overridden` (confident, with another
        label than F's own: with `mask` never where gamma is above one half).

    Raises:
        ValueError: There is no such gate, correction or term.

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
    labelled = supervised_losses(
        logits["labelled"],
        sub_logits["labelled"] if "msl" in terms else None,
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
        correction=correction,
        terms=terms,
    )
    return labelled | unlabelled | {"loss": labelled["loss"] + unlabelled["loss"]}


def supervised_losses(
    logits: Tensor,
    sub_logits: Tensor | None,
    labels: Tensor,
    sublabels: Tensor,
    *,
    lambda_sub: float = 1.0,
    sub_log_prior: Tensor | None = None,
    ignore_index: int = 255,
) -> dict[str, Tensor]:
    """Eq. 2, the part of the objective that sees labelled images: `L_s`.

    Args:
        logits: Of F, `(batch, height / f, width / f, classes)` with an integer f, see `usrn_losses`.
        sub_logits: Of F_sub, `(batch, height / f, width / f, subclasses)`; None without its loss.
        labels: `(batch, height, width)` int.
        sublabels: `(batch, height, width)` int.
        lambda_sub: Weight of the subclass loss.
        sub_log_prior: `(subclasses,)` float32, added to the subclass logits in their loss alone (logit
            adjustment, arXiv 2007.07314): with the logarithm of the sizes, F_sub's logits do not
            learn how frequent a subclass is. Where all sizes are equal it changes nothing.
        ignore_index: Label of pixels without a class.

    Returns:
        float32 scalars `supervised`, `supervised_sub` and `loss`, their weighted sum.
    """
    valid = labels != ignore_index
    supervised, _ = cross_entropy_and_accuracy(logits, labels, valid)
    if sub_logits is None:
        return {"loss": supervised, "supervised": supervised}
    valid_sub = ops.logical_and(valid, sublabels >= 0)
    if sub_log_prior is not None:
        sub_logits = ops.add(sub_logits, ops.cast(sub_log_prior, sub_logits.dtype))
    supervised_sub, _ = cross_entropy_and_accuracy(sub_logits, sublabels, valid_sub)
    return {
        "loss": supervised + lambda_sub * supervised_sub,
        "supervised": supervised,
        "supervised_sub": supervised_sub,
    }


def unlabelled_losses(
    logits: dict[str, Tensor],
    sub_logits: dict[str, Tensor],
    parents: Tensor,
    *,
    threshold: float = 0.75,
    lambda_u: float = 1.0,
    lambda_sub: float = 1.0,
    gate: Gate = "fallback",
    correction: Correction = "mask",
    terms: Collection[str] = ALL_TERMS,
) -> dict[str, Tensor]:
    """Eqs. 4 to 7, the part of the objective that sees unlabelled images.

    It is `lambda_u * (L_e + lambda_sub * L_sub)`.

    Args:
        logits: Of F, keys `weak` and `strong`, `(batch, height, width, classes)`; read with `ost`.
        sub_logits: Of F_sub, `(batch, height, width, subclasses)`: `weak` is read with `usr` or `sst`,
            `strong` with `sst`.
        parents, threshold, lambda_u, lambda_sub, gate, correction, terms: See `usrn_losses`.

    Returns:
        float32 scalars `self_training`, `confident`, `gate_open`, `gate_dropped`, `label_overridden` (with
        `ost`), `self_training_sub`, `confident_sub` (with `sst`; all as in `usrn_losses`) and `loss`, the
        weighted sum.

    Raises:
        ValueError: There is no such gate, correction or term.
    """
    refuse_unknown(gate=gate, correction=correction, terms=terms)
    parts, total, pseudo = {}, 0.0, {}
    if "ost" in terms:
        masked = "usr" in terms
        pseudo = pseudo_labels(
            logits["weak"],
            sub_logits["weak"] if masked else None,
            parents,
            gate=gate_of(terms, gate),
            correction=correction,
        )
        parts |= _self_training(logits["strong"], pseudo, threshold)
        total = total + parts["self_training"]
    if "sst" in terms:
        sub = pseudo if "sublabels" in pseudo else subclass_pseudo_labels(sub_logits["weak"])
        confident = sub["sub_confidence"] > threshold
        loss = _masked_mean(pixel_cross_entropy(sub_logits["strong"], sub["sublabels"]), confident)
        parts |= {"self_training_sub": loss, "confident_sub": _share(confident)}
        total = total + lambda_sub * loss
    return {"loss": lambda_u * total, **parts}


def _self_training(logits: Tensor, pseudo: dict[str, Tensor], threshold: float) -> dict[str, Tensor]:
    """L_e of F's logits on the strong view, and on which pixels it is (Eq. 7)."""
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
    """Mean over all pixels, those outside the mask counting as zero (Eqs. 5 and 7)."""
    return ops.mean(losses * ops.cast(mask, losses.dtype))


def _share(mask: Tensor) -> Tensor:
    return ops.mean(ops.cast(mask, "float32"))
