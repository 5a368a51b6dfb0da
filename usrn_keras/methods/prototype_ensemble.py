"""A fixed prototype head that votes with F on the pseudo labels: what helps on CamVid in short schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.losses import (
    ensemble_pseudo_labels,
    normalised_entropy,
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
from usrn_keras.methods.usrn import validate_parents
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import PrototypeEnsembleOptions


@keras.saving.register_keras_serializable(package="usrn_keras")
class PrototypeEnsemble(Method):
    """F learns the labels that it and a fixed second branch agree on.

    F_sub starts from the Baseline with its classifier at the centers of the subclasses, and its own layers
    stay as they start. Its class probabilities count every class as equally frequent (the mean, not the sum,
    over the subclasses of a class), so that it speaks for the rare ones; the pseudo label is the largest mean
    of both.

        r = (softmax(p_w) + u(q_w)) / 2
        L = CE(p_l, y) + lambda_u * mean over all pixels of 1[max r > gamma] * CE(p_s, argmax r)

    This is not the paper's USRN, whose F_sub is trained and only drops labels. Its published relative is DASO
    (arXiv 2106.05682), which blends the labels of a similarity-based classifier with those of the linear one.

    Args:
        branch: The class branch F, the only one used at inference.
        sub_branch: The second branch F_sub. Parts that are the same objects are shared and trained; its own
            are not.
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: gamma, the confidence that the vote must exceed.
        lambda_u: Weight of the loss on unlabelled images.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict as `USRN` reads it, without `sublabels`.

    Raises:
        ValueError: `parents` do not fit the branches.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=2, subclasses=3, weights="none", width=0.25)
    >>> model = PrototypeEnsemble(branch, sub_branch, parents=[0, 0, 1])
    >>> len(model.sub_branch.classifier.trainable_variables)
    0
    """

    method_name = "prototype_ensemble"
    title = "Prototype ensemble"
    Options = PrototypeEnsembleOptions
    inputs = BatchSpec(unlabelled=True, strong=1)
    needs_subclasses: ClassVar[bool] = True
    makes_pseudo_labels: ClassVar[bool] = True

    def __init__(
        self,
        branch: Branch,
        sub_branch: Branch,
        parents: Sequence[int],
        *,
        threshold: float = 0.75,
        lambda_u: float = 1.0,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        validate_parents(parents, branch, sub_branch)
        super().__init__([Network(branch, sub_branch)], ignore_index=ignore_index, **kwargs)
        self.parents = [int(parent) for parent in parents]
        self._threshold = threshold
        self.lambda_u = lambda_u
        self._fix_sub_branch()

    @classmethod
    def from_recipe(cls, options: PrototypeEnsembleOptions, build: Any) -> PrototypeEnsemble:
        (network,) = build.networks(with_sub=True)
        return cls(
            *network, build.subclasses.parents, **options.model_dump(), ignore_index=build.ignore_index
        )

    def start_from(self, start: Any) -> None:
        super().start_from(start)
        self.networks[0].set_sub_classifier(*start.centroid_classifier())

    @property
    def branch(self) -> Branch:
        """The class branch F."""
        return self.networks[0].F

    @property
    def sub_branch(self) -> Branch:
        """The second branch F_sub."""
        return self.networks[0].F_sub

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        return (
            ForwardPass("labelled", "labelled", ("F",)),
            ForwardPass("weak", "unlabelled", ("F", "F_sub"), gradient=False, pooled=True),
            ForwardPass("strong", "unlabelled", ("F",), pooled=True),
        )

    def loss_parts(self) -> list[LossPart]:
        trains = self.branch.trainable_variables
        reports = ("self_training", "confident", "label_overridden")
        return [
            LossPart("labelled", self._labelled, trains, reports=("supervised",)),
            LossPart("unlabelled", self._unlabelled, trains, reports),
        ]

    def _labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        logits = self.networks[0].logits(labelled_images(batch))["F"]
        terms = supervised_losses(logits, None, batch["labels"], ignore_index=self.ignore_index)
        return terms, self.labelled_context(logits)

    def _unlabelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        network = self.networks[0]
        weak_images, strong_images = unlabelled_images(batch)
        with no_gradient():
            weak = network.logits(weak_images, ("F", "F_sub"), pooled=True)
        strong = network.logits(strong_images, pooled=True)["F"]
        parents = np.array(self.parents, dtype="int32")
        terms = self_training_losses(
            strong, ensemble_pseudo_labels(weak["F"], weak["F_sub"], parents), self.threshold
        )
        return {"loss": self.lambda_u * terms["self_training"], **terms}, {}

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.networks[0].logits(images, ("F", "F_sub"), pooled=True, training=False)
        parents = ops.convert_to_tensor(np.array(self.parents, dtype="int32"))
        found = ensemble_pseudo_labels(logits["F"], logits["F_sub"], parents)
        return found | {
            "sub_labels": ops.take(parents, found["sublabels"]),
            "entropy": normalised_entropy(logits["F"]),
            "sub_entropy": normalised_entropy(logits["F_sub"]),
        }

    def _fix_sub_branch(self) -> None:
        """Let F_sub's own variables stay as they start: no gradient reaches them, but weight decay would.

        Variables, not layers: a batch normalisation that is not trainable would no longer take the statistics
        of each view.
        """
        self.sub_branch.classifier.trainable = False
        shared = {id(variable) for variable in self.branch.variables}
        for variable in self.sub_branch.trainable_variables:
            if id(variable) not in shared:
                variable.trainable = False

    def get_config(self) -> dict[str, Any]:
        names = ("parents", "threshold", "lambda_u")
        return super().get_config() | {name: getattr(self, name) for name in names}

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> PrototypeEnsemble:
        return cls(*networks[0], **config)
