"""Self-training: F learns from its own confident pseudo labels; a control for USRN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import pseudo_labels, self_training_losses, threshold_of_share, value_at
from usrn_keras.methods.loss_part import Batch, Tensor
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
    method is therefore the contribution of F_sub. With `kept_shares`, gamma is chosen in each batch so that a
    given share of the pixels counts: a control for methods that drop labels, at equal coverage.

    Args:
        branch: The class branch F.
        threshold: Confidence gamma that a pseudo label must exceed.
        lambda_u: Weight of the loss on unlabelled images.
        kept_shares: Shares of the pixels in 0..1, at equal intervals from the start to the end of training,
            linear in between. F learns the most confident pixels of each batch up to that share; empty:
            those above `threshold`.
        joint_views: Whether labelled images and strong views pass the network as one batch, in which batch
            normalisation keeps them apart.
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
        kept_shares: Sequence[float] = (),
        joint_views: bool = False,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        options = {"threshold": threshold, "lambda_u": lambda_u, "joint_views": joint_views}
        super().__init__(Network(branch), ignore_index=ignore_index, **options, **kwargs)
        self.kept_shares = [float(share) for share in kept_shares]

    @property
    def inputs(self) -> BatchSpec:
        return BatchSpec(unlabelled=True, strong=1, progress=bool(self.kept_shares))

    @property
    def heads(self) -> dict[str, tuple[Head, ...]]:
        return {"labelled": ("F",), "weak": ("F",), "strong": ("F",)}

    def unlabelled_terms(
        self, weak: dict[Head, Tensor], strong: dict[Head, Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        pseudo = self.teach(weak)
        threshold = self.threshold
        if self.kept_shares:
            share = value_at(batch["progress"], self.kept_shares)
            threshold = threshold_of_share(pseudo["confidence"], share)
        terms = self_training_losses(strong["F"], pseudo, threshold)
        shown = {name: terms[name] for name in ("self_training", "confident")}
        return {"loss": self.lambda_u * terms["self_training"], **shown}

    def teach(self, logits: dict[Head, Tensor]) -> dict[str, Tensor]:
        return pseudo_labels(logits["F"], None, None)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"kept_shares": self.kept_shares}
