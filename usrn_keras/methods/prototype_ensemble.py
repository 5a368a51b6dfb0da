"""Pseudo labels from the mean of F and a fixed prototype head; improves short schedules on CamVid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from usrn_keras.losses import ensemble_pseudo_labels, self_training_losses
from usrn_keras.methods.loss_part import Batch, Tensor
from usrn_keras.methods.pseudo_label_method import PseudoLabelMethod
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import Head, Network
from usrn_keras.recipe.method_options import PrototypeEnsembleOptions


@keras.saving.register_keras_serializable(package="usrn_keras")
class PrototypeEnsemble(PseudoLabelMethod):
    """F learns from the mean prediction of F and a fixed second branch.

    F_sub is initialised from the Baseline, with its classifier at the cluster centers, and its own layers are
    not trained. Its class probabilities have an equal prior for all classes (the mean instead of the sum over
    the subclasses of a class), which favours rare classes; the pseudo label is the class with the largest
    mean of both predictions.

        r = (softmax(p_w) + u(q_w)) / 2
        L = CE(p_l, y) + lambda_u * mean over all pixels of 1[max r > gamma] * CE(p_s, argmax r)

    This is not the paper's USRN, whose F_sub is trained and only removes pseudo labels. A related published
    method is DASO (arXiv 2106.05682), which blends the labels of a similarity-based classifier with those of
    the linear classifier.

    Args:
        branch: The class branch F, the only one used at inference.
        sub_branch: The second branch F_sub. Parts shared with F (the same objects) are trained; its own parts
            are not.
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: Confidence gamma that the mean of both predictions must exceed.
        lambda_u: Weight of the loss on unlabelled images.
        joint_views: Whether labelled images and strong views pass the network as one batch, in which batch
            normalisation keeps them apart.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict as for `USRN`, without `sublabels`.

    Raises:
        ValueError: If `parents` do not match the branches.

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
    needs_subclasses: ClassVar[bool] = True

    def __init__(
        self,
        branch: Branch,
        sub_branch: Branch,
        parents: Sequence[int],
        *,
        threshold: float = 0.75,
        lambda_u: float = 1.0,
        joint_views: bool = False,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        options = {"threshold": threshold, "lambda_u": lambda_u, "joint_views": joint_views}
        network = Network(branch, sub_branch)
        super().__init__(network, parents, ignore_index=ignore_index, **options, **kwargs)
        self._fix_sub_branch()

    def start_from(self, start: Any) -> None:
        super().start_from(start)
        self.networks[0].set_sub_classifier(*start.centroid_classifier())

    @property
    def heads(self) -> dict[str, tuple[Head, ...]]:
        return {"labelled": ("F",), "weak": ("F", "F_sub"), "strong": ("F",)}

    def unlabelled_terms(
        self, weak: dict[Head, Tensor], strong: dict[Head, Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        terms = self_training_losses(strong["F"], self.teach(weak), self.threshold)
        return {"loss": self.lambda_u * terms["self_training"], **terms}

    def teach(self, logits: dict[Head, Tensor]) -> dict[str, Tensor]:
        return ensemble_pseudo_labels(logits["F"], logits["F_sub"], self._parents)

    def _reports(self) -> tuple[str, ...]:
        return ("self_training", "confident", "label_overridden")

    def _fix_sub_branch(self) -> None:
        """Fix F_sub's own variables, which receive no gradient but would be changed by weight decay.

        Variables instead of layers are fixed, because a batch normalisation layer that is not trainable would
        not use the statistics of each view.
        """
        self.sub_branch.classifier.trainable = False
        shared = {id(variable) for variable in self.branch.variables}
        for variable in self.sub_branch.trainable_variables:
            if id(variable) not in shared:
                variable.trainable = False
