"""Self-training: F learns its own confident labels, without a second branch. The control of every claim."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from usrn_keras.backends import no_gradient
from usrn_keras.losses import (
    normalised_entropy,
    pseudo_labels,
    self_training_losses,
    supervised_losses,
)
from usrn_keras.methods.base import (
    Batch,
    BatchSpec,
    Context,
    LossPart,
    Method,
    Tensor,
    labelled_images,
    unlabelled_images,
)
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import SelfTrainingOptions


@keras.saving.register_keras_serializable(package="usrn_keras")
class SelfTraining(Method):
    """F alone on its own pseudo labels: USRN without F_sub.

        L = CE(p_l, y) + lambda_u * mean over all pixels of 1[max p_w > gamma] * CE(p_s, argmax p_w)

    `p_l`, `p_w` and `p_s` are F's predictions on the labelled images and on the weak and the strong view of
    the unlabelled ones; the unlabelled loss has stride 8, as in USRN. So the difference between USRN and
    this method is what F_sub adds.

    Args:
        branch: The class branch F.
        threshold: gamma, the confidence that a pseudo label must exceed.
        lambda_u: Weight of the loss on unlabelled images.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict as `USRN` reads it, without `sublabels`.

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
    inputs = BatchSpec(unlabelled=True, strong=1)
    makes_pseudo_labels: ClassVar[bool] = True

    def __init__(
        self,
        branch: Branch,
        *,
        threshold: float = 0.75,
        lambda_u: float = 1.0,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        super().__init__([Network(branch)], ignore_index=ignore_index, **kwargs)
        self._threshold = threshold
        self.lambda_u = lambda_u

    @classmethod
    def from_recipe(cls, options: SelfTrainingOptions, build: Any) -> SelfTraining:
        (network,) = build.networks()
        return cls(network.F, **options.model_dump(), ignore_index=build.ignore_index)

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        return (
            ForwardPass("labelled", "labelled", ("F",)),
            ForwardPass("weak", "unlabelled", ("F",), gradient=False, pooled=True),
            ForwardPass("strong", "unlabelled", ("F",), pooled=True),
        )

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        return [
            LossPart("labelled", self._labelled, trains, reports=("supervised",)),
            LossPart("unlabelled", self._unlabelled, trains, reports=("self_training", "confident")),
        ]

    def _labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        logits = self.networks[0].logits(labelled_images(batch))["F"]
        terms = supervised_losses(logits, None, batch["labels"], ignore_index=self.ignore_index)
        return terms, self.labelled_context(logits)

    def _unlabelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        network = self.networks[0]
        weak_images, strong_images = unlabelled_images(batch)
        with no_gradient():
            weak = network.logits(weak_images, pooled=True)["F"]
        strong = network.logits(strong_images, pooled=True)["F"]
        terms = self_training_losses(strong, pseudo_labels(weak, None, None), self.threshold)
        shown = {name: terms[name] for name in ("self_training", "confident")}
        return {"loss": self.lambda_u * terms["self_training"], **shown}, {}

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.networks[0].logits(images, pooled=True, training=False)["F"]
        return pseudo_labels(logits, None, None) | {"entropy": normalised_entropy(logits)}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"threshold": self.threshold, "lambda_u": self.lambda_u}

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> SelfTraining:
        return cls(networks[0].F, **config)
