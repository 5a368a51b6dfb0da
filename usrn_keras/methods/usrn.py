"""USRN, the method of the paper: two branches, three views, one objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.losses import normalised_entropy, pseudo_labels, supervised_losses, unlabelled_losses
from usrn_keras.losses.pseudo_labels import validate_gate
from usrn_keras.methods.base import (
    Batch,
    BatchSpec,
    Context,
    LossPart,
    Method,
    Tensor,
    labelled_images,
    unique,
    unlabelled_images,
)
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import ALL_TERMS, Gate, Term, USRNOptions, effective_gate, term_errors


@keras.saving.register_keras_serializable(package="usrn_keras")
class USRN(Method):
    """Unbiased Subclass Regularization (CVPR 2022, arXiv 2203.10026).

    Both branches see every view. Each view is a batch of its own through batch
    normalisation; the weak view of the unlabelled images makes the pseudo labels and is
    passed without gradient; unlabelled features are average-pooled 2x2 before the
    classifiers, so that the unlabelled losses have stride 8 (as in the official code).

    Args:
        branch: The class branch F, the only one used at inference.
        sub_branch: The subclass branch F_sub. Parts that are the same objects are shared.
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: gamma, the confidence that a pseudo label must exceed.
        lambda_u: Weight of the unlabelled losses.
        lambda_sub: Weight of the subclass losses.
        gate: `fallback`, `stop` or `off`; see `usrn_keras.losses.usrn_losses`.
        sub_head: Initial classifier of F_sub where training starts from the Baseline: `random`, or the
            cluster `centroids`.
        terms: Terms of the objective, the paper's ablation (Table 3): `msl`, `ost`, `usr`, `sst`, `egm`.
            What no term needs is not computed.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of images `labelled`, `weak` `(batch, height, width, 3)`, RGB in 0..255,
    `labels` and `sublabels` `(batch, height, width)` int, and either the strong view of the weak
    images, `strong`, or `strong_parameters` (see `usrn_keras.strong_view`), from which it is computed on the
    device; without both the strong view is the weak one. With `msl` alone only the labelled images are read.

    Raises:
        ValueError: The terms make no objective, there is no such gate, or `parents` do not fit the branches.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, sub_branch = build_branches(
    ...     "keras/mobilenet", classes=2, subclasses=3, weights="none", width=0.25)
    >>> model = USRN(branch, sub_branch, parents=[0, 0, 1])
    >>> images = np.zeros((2, 64, 64, 3), "uint8")
    >>> labels = np.zeros((2, 64, 64), "int32")
    >>> batch = {"labelled": images, "weak": images, "labels": labels, "sublabels": labels}
    >>> float(model.loss_terms(batch)["loss"]) > 0
    True
    """

    method_name = "usrn"
    title = "USRN"
    Options = USRNOptions
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
        lambda_sub: float = 1.0,
        gate: Gate = "fallback",
        sub_head: str = "random",
        terms: Sequence[Term] = ALL_TERMS,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        if errors := list(term_errors(terms)):
            raise ValueError(f"`terms`: {'; '.join(errors)}, received {list(terms)}")
        validate_gate(gate)
        validate_parents(parents, branch, sub_branch)
        super().__init__([Network(branch, sub_branch)], ignore_index=ignore_index, **kwargs)
        self.parents = [int(parent) for parent in parents]
        self._threshold = threshold
        self.lambda_u = lambda_u
        self.lambda_sub = lambda_sub
        self.gate = gate
        self.sub_head = sub_head
        self.terms = tuple(terms)

    @classmethod
    def from_recipe(cls, options: USRNOptions, build: Any) -> USRN:
        (network,) = build.networks(with_sub=True)
        return cls(
            *network, build.subclasses.parents, **options.model_dump(), ignore_index=build.ignore_index
        )

    def start_from(self, start: Any) -> None:
        super().start_from(start)
        if self.sub_head == "centroids":
            self.networks[0].set_sub_classifier(*start.centroid_classifier())

    @property
    def branch(self) -> Branch:
        """The class branch F."""
        return self.networks[0].F

    @property
    def sub_branch(self) -> Branch:
        """The subclass branch F_sub."""
        return self.networks[0].F_sub

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def inputs(self) -> BatchSpec:
        unlabelled = not {"ost", "sst"}.isdisjoint(self.terms)
        return BatchSpec(unlabelled=unlabelled, strong=int(unlabelled), sublabels=True)

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        own = ("F",) * ("ost" in self.terms)
        sub = ("F_sub",) * ("sst" in self.terms)
        weak_sub = ("F_sub",) * ("sst" in self.terms or "usr" in self.terms)
        passes = [ForwardPass("labelled", "labelled", ("F", "F_sub"))]
        if self.inputs.unlabelled:
            passes += [
                ForwardPass("weak", "unlabelled", own + weak_sub, gradient=False, pooled=True),
                ForwardPass("strong", "unlabelled", own + sub, pooled=True),
            ]
        return tuple(passes)

    def loss_parts(self) -> list[LossPart]:
        """The objective in two parts, labelled and unlabelled images, whose losses add up (Eq. 8)."""
        trains = self.networks[0].trainable_variables
        parts = [LossPart("labelled", self._labelled, trains, reports=("supervised", "supervised_sub"))]
        if self.inputs.unlabelled:
            own, sub = "ost" in self.terms, "sst" in self.terms
            learners = self.branch.trainable_variables * own + self.sub_branch.trainable_variables * sub
            reports = ("self_training", "confident", "gate_open") * own
            reports += ("self_training_sub", "confident_sub") * sub
            parts.append(LossPart("unlabelled", self._unlabelled, unique(learners), reports))
        return parts

    def _labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Eq. 2."""
        logits = self.networks[0].logits(labelled_images(batch), ("F", "F_sub"))
        terms = supervised_losses(
            logits["F"],
            logits["F_sub"],
            batch["labels"],
            batch["sublabels"],
            lambda_sub=self.lambda_sub,
            ignore_index=self.ignore_index,
        )
        return terms, self.labelled_context(logits["F"])

    def _unlabelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Eqs. 4 to 7."""
        network = self.networks[0]
        weak_images, strong_images = unlabelled_images(batch)
        _, weak_pass, strong_pass = self.forward_passes
        with no_gradient():
            weak = network.logits(weak_images, weak_pass.heads, pooled=True)
        strong = network.logits(strong_images, strong_pass.heads, pooled=True)
        terms = unlabelled_losses(
            {"weak": weak.get("F"), "strong": strong.get("F")},
            {"weak": weak.get("F_sub"), "strong": strong.get("F_sub")},
            np.array(self.parents, dtype="int32"),
            threshold=self.threshold,
            lambda_u=self.lambda_u,
            lambda_sub=self.lambda_sub,
            gate=effective_gate(self.terms, self.gate),
        )
        return terms, {}

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.networks[0].logits(images, ("F", "F_sub"), pooled=True, training=False)
        parents = ops.convert_to_tensor(np.array(self.parents, dtype="int32"))
        gate = effective_gate(self.terms, self.gate)
        found = pseudo_labels(logits["F"], logits["F_sub"], parents, gate=gate)
        return found | {
            "sub_labels": ops.take(parents, found["sublabels"]),
            "entropy": normalised_entropy(logits["F"]),
            "sub_entropy": normalised_entropy(logits["F_sub"]),
        }

    def get_config(self) -> dict[str, Any]:
        names = ("parents", "threshold", "lambda_u", "lambda_sub", "gate", "sub_head", "terms")
        return super().get_config() | {name: getattr(self, name) for name in names}

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> USRN:
        return cls(*networks[0], **config)


def validate_parents(parents: Sequence[int], branch: Branch, sub_branch: Branch) -> None:
    """Raise a `ValueError` for parents that do not fit the branches.

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
