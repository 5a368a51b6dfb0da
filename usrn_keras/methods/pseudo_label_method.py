"""Base of methods that train F on strong views with pseudo labels from weak views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.backends.steps import sum_of_terms
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import normalised_entropy, supervised_losses
from usrn_keras.methods.base import Method
from usrn_keras.methods.loss_part import (
    Batch,
    Context,
    LossPart,
    Tensor,
    labelled_images,
    unique,
    unlabelled_images,
)
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass, Head, Network, View
from usrn_keras.recipe.method_options import MethodOptions


class PseudoLabelMethod(Method):
    """Train one network with two loss parts: labelled images, and weak and strong views of unlabelled images.

    Each view is a separate batch for batch normalisation. Pseudo labels are computed from the weak view
    without gradient. Unlabelled features are average-pooled 2x2 before the classifiers, so the unlabelled
    losses have stride 8.

    A subclass defines which branches see which view (`heads`), the terms computed from their logits
    (`unlabelled_terms`) and the pseudo labels (`teach`).

    Args:
        network: F and, if the method has one, F_sub.
        parents: Class of each subclass, `(subclasses,)` int; empty without F_sub.
        threshold: Confidence gamma that a pseudo label must exceed.
        lambda_u: Weight of the losses on unlabelled images.
        joint_views: Whether labelled images and strong views pass the network as one batch, in which batch
            normalisation keeps them apart: one loss part instead of two.
        ignore_index: Label of pixels without a class.
        others: Networks that are not trained.
        **kwargs: Arguments of `keras.Model`.

    Raises:
        ValueError: If `parents` do not match the branches.
    """

    inputs: BatchSpec = BatchSpec(unlabelled=True, strong=1)
    makes_pseudo_labels: ClassVar[bool] = True
    takes_features: ClassVar[bool] = True
    trains_on_parts: ClassVar[bool] = True
    lambda_sub: float = 1.0

    def __init__(
        self,
        network: Network,
        parents: Sequence[int] = (),
        *,
        threshold: float,
        lambda_u: float,
        ignore_index: int,
        joint_views: bool = False,
        others: Sequence[Network] = (),
        **kwargs: Any,
    ):
        if network.F_sub is not None:
            validate_parents(parents, *network)
        super().__init__([network, *others], ignore_index=ignore_index, **kwargs)
        self.parents = [int(parent) for parent in parents]
        self._threshold = threshold
        self.lambda_u = lambda_u
        self.joint_views = joint_views

    # ---- methods to override

    @property
    def heads(self) -> dict[str, tuple[Head, ...]]:
        """Branches that process each view: `labelled`, `weak` and `strong`."""
        raise NotImplementedError(f"{type(self).__name__} must define `heads`")

    def unlabelled_terms(
        self, weak: dict[Head, Tensor], strong: dict[Head, Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        """Compute the terms of the unlabelled images, including `loss`.

        Args:
            weak: Logits of the weak view by branch, without gradient, `(batch, rows, columns, channels)`.
            strong: Logits of the strong view by branch.
            batch: The batch, and what earlier parts of the objective left.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `unlabelled_terms`")

    def teach(self, logits: dict[Head, Tensor]) -> dict[str, Tensor]:
        """Compute the pseudo labels of a view, see `usrn_keras.losses.pseudo_labels`.

        Args:
            logits: Logits of the view by branch.
        """
        raise NotImplementedError(f"{type(self).__name__} must define `teach`")

    # ---- shared implementation

    @classmethod
    def from_recipe(cls, options: MethodOptions, build: Any) -> PseudoLabelMethod:
        (network,) = build.networks(with_sub=cls.needs_subclasses)
        parts = (*network, build.subclasses.parents) if cls.needs_subclasses else (network.F,)
        return cls(*parts, **options.arguments(), ignore_index=build.ignore_index)

    @property
    def branch(self) -> Branch:
        """The class branch F."""
        return self.networks[0].F

    @property
    def sub_branch(self) -> Branch | None:
        """The subclass branch F_sub; None for a method without one."""
        return self.networks[0].F_sub

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        heads = self.heads
        labelled = ForwardPass("labelled", "labelled", heads["labelled"])
        if not self.inputs.unlabelled:
            return (labelled,)
        weak = ForwardPass("weak", "unlabelled", heads["weak"], gradient=False, pooled=True)
        if self.joint_views:  # the strong half is pooled before the classifiers, which hardly count
            return weak, ForwardPass("views", "both", heads["strong"])
        return labelled, weak, ForwardPass("strong", "unlabelled", heads["strong"], pooled=True)

    def loss_parts(self) -> list[LossPart]:
        """Return the objective as two parts, labelled and unlabelled images, whose losses are added.

        Joint views are one part.
        """
        reports = ("supervised", "supervised_sub")[: len(self.heads["labelled"])]
        if self.joint_views:
            reports = (*reports, *self._reports())
            return [LossPart("views", self.together, self._learners("labelled"), reports)]
        parts = [LossPart("labelled", self.labelled, self._learners("labelled"), reports)]
        if self.inputs.unlabelled:
            parts.append(LossPart("unlabelled", self.unlabelled, self._learners("strong"), self._reports()))
        return parts

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the cross entropy of the branches on labelled images (Eq. 2)."""
        logits = self.networks[0].logits(labelled_images(batch), self.heads["labelled"])
        return self._labelled_terms(logits, batch), self.labelled_context(logits["F"])

    def _labelled_terms(self, logits: dict[Head, Tensor], batch: Batch) -> dict[str, Tensor]:
        return supervised_losses(
            logits["F"],
            logits.get("F_sub"),
            batch["labels"],
            batch.get("sublabels"),
            lambda_sub=self.lambda_sub,
            ignore_index=self.ignore_index,
        )

    def unlabelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the terms of unlabelled images from their weak and strong views."""
        weak_images, strong_images = unlabelled_images(batch)
        with no_gradient():
            weak = self.networks[0].logits(weak_images, self.heads["weak"], pooled=True)
        strong = self.networks[0].logits(strong_images, self.heads["strong"], pooled=True)
        return self.unlabelled_terms(weak, strong, batch | context), {}

    def together(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute all terms, with labelled images and strong views in one batch, after the weak views."""
        network = self.networks[0]
        weak_images, strong_images = unlabelled_images(batch)
        with no_gradient():
            weak = network.logits(weak_images, self.heads["weak"], pooled=True)
        views = View(labelled_images(batch)), View(strong_images, pooled=True)
        logits, strong = network.joint_logits(views, self.heads["strong"])
        parts = self._labelled_terms(logits, batch), self.unlabelled_terms(weak, strong, batch | context)
        return sum_of_terms(parts), self.labelled_context(logits["F"])

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        network = self.networks[0]
        logits = network.logits(images, tuple(network.branches), pooled=True, training=False)
        found = self.teach(logits) | {"entropy": normalised_entropy(logits["F"])}
        if "F_sub" not in logits:
            return found
        parents = ops.convert_to_tensor(self._parents)
        sub = {"sub_labels": ops.take(parents, found["sublabels"])}
        return found | sub | {"sub_entropy": normalised_entropy(logits["F_sub"])}

    @property
    def _parents(self) -> np.ndarray:
        return np.array(self.parents, dtype="int32")

    def _learners(self, view: str) -> list[Any]:
        """Return the variables of the branches that are trained on a view."""
        branches = self.networks[0].branches
        return unique(v for name in self.heads[view] for v in branches[name].trainable_variables)

    def _reports(self) -> tuple[str, ...]:
        return ("self_training", "confident")

    def get_config(self) -> dict[str, Any]:
        own = {"threshold": self.threshold, "lambda_u": self.lambda_u, "joint_views": self.joint_views}
        return super().get_config() | own | ({"parents": self.parents} if self.parents else {})

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> PseudoLabelMethod:
        return cls(*networks[0].branches.values(), **config)


def validate_parents(parents: Sequence[int], branch: Branch, sub_branch: Branch) -> None:
    """Raise a `ValueError` if `parents` do not match the branches.

    Args:
        parents: Class of each subclass, `(subclasses,)` int.
        branch: The class branch F.
        sub_branch: The subclass branch F_sub.
    """
    classes, subclasses = (one.classifier.output_shape[-1] for one in (branch, sub_branch))
    if len(parents) != subclasses:
        raise ValueError(
            f"`parents` must name a class for each of {subclasses} subclasses, received {len(parents)}"
        )
    if outside := [int(parent) for parent in parents if not 0 <= parent < classes]:
        raise ValueError(f"`parents` must be classes in 0..{classes - 1}, received {outside[:5]}")
