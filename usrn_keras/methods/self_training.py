"""Self-training: F learns from its own confident pseudo labels; a control for USRN."""

from __future__ import annotations

from typing import Any

import keras

from usrn_keras.losses import pseudo_labels, self_training_losses
from usrn_keras.methods.loss_part import Tensor
from usrn_keras.methods.pseudo_label_method import PseudoLabelMethod
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import Head, Network
from usrn_keras.recipe.method_options import SelfTrainingOptions


@keras.saving.register_keras_serializable(package="usrn_keras")
class SelfTraining(PseudoLabelMethod):
    """F alone on its own pseudo labels: USRN without F_sub.

        L = CE(p_l, y) + lambda_u * mean over all pixels of 1[max p_w > gamma] * CE(p_s, argmax p_w)

    `p_l`, `p_w` and `p_s` are F's predictions on the labelled images and on the weak and strong views of the
    unlabelled images; the unlabelled loss has stride 8, as in USRN. The difference between USRN and this
    method is therefore the contribution of F_sub.

    Args:
        branch: The class branch F.
        threshold: Confidence gamma that a pseudo label must exceed.
        lambda_u: Weight of the loss on unlabelled images.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict as for `USRN`, without `sublabels`.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> terms = SelfTraining(branch).loss_terms({"labelled": images, "weak": images, "labels": labels})
    >>> "self_training" in terms
    True
    """

    method_name = "self_training"
    title = "Self-training"
    Options = SelfTrainingOptions

    def __init__(
        self,
        branch: Branch,
        *,
        threshold: float = 0.75,
        lambda_u: float = 1.0,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        super().__init__(
            Network(branch), threshold=threshold, lambda_u=lambda_u, ignore_index=ignore_index, **kwargs
        )

    @property
    def heads(self) -> dict[str, tuple[Head, ...]]:
        return {"labelled": ("F",), "weak": ("F",), "strong": ("F",)}

    def unlabelled_terms(self, weak: dict[Head, Tensor], strong: dict[Head, Tensor]) -> dict[str, Tensor]:
        terms = self_training_losses(strong["F"], self.teach(weak), self.threshold)
        shown = {name: terms[name] for name in ("self_training", "confident")}
        return {"loss": self.lambda_u * terms["self_training"], **shown}

    def teach(self, logits: dict[Head, Tensor]) -> dict[str, Tensor]:
        return pseudo_labels(logits["F"], None, None)
