"""USRN, the method of the paper: two branches, three views, one objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from usrn_keras.backends import no_gradient
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import pseudo_labels, unlabelled_losses
from usrn_keras.losses.pseudo_labels import GateLevel, subclass_pseudo_labels, validate_gate
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, unlabelled_images
from usrn_keras.methods.moving_average import move_average
from usrn_keras.methods.pseudo_label_method import PseudoLabelMethod
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass, Head, Network
from usrn_keras.recipe.method_options import ALL_TERMS, Gate, Term, USRNOptions, effective_gate, term_errors


@keras.saving.register_keras_serializable(package="usrn_keras")
class USRN(PseudoLabelMethod):
    """Unbiased Subclass Regularization (CVPR 2022, arXiv 2203.10026).

    Both branches process every view. Each view is a separate batch for batch normalisation. Pseudo labels are
    computed from the weak view of the unlabelled images without gradient. Unlabelled features are
    average-pooled 2x2 before the classifiers, so the unlabelled losses have stride 8 (as in the official
    code).

    Args:
        branch: The class branch F, the only one used at inference.
        sub_branch: The subclass branch F_sub. Parts that are the same objects are shared.
        parents: Class of each subclass, `(subclasses,)` int.
        threshold: Confidence gamma that a pseudo label must exceed.
        lambda_u: Weight of the unlabelled losses.
        lambda_sub: Weight of the subclass losses.
        gate: Entropy gate: `fallback`, `stop` or `off`; see `usrn_keras.losses.usrn_losses`.
        sub_head: Initial classifier of F_sub if training starts from the Baseline: `random`, or the cluster
            `centroids`.
        gate_level: Entropy of F_sub that the gate reads: `subclass` or `class`; see
            `usrn_keras.losses.pseudo_labels`.
        sub_threshold: Confidence that a pseudo label of F_sub must exceed to teach F_sub (Eq. 5); 0 for
            `threshold`.
        teacher_decay: Share of a moving average of F_sub that remains in each step, which gives the labels of
            Eq. 5; 0 if F_sub itself gives them, 1 for F_sub as it starts.
        sub_teacher: The moving average, a branch of the architecture of F_sub that shares nothing with it;
            required with `teacher_decay`. It starts with the weights of F_sub and is not trained.
        terms: Terms of the objective (ablation of the paper, Table 3): `msl`, `ost`, `usr`, `sst`, `egm`.
            Passes that no term needs are skipped.
        joint_views: Whether labelled images and strong views pass the network as one batch, in which batch
            normalisation keeps them apart. Needs the terms `ost` and `sst`.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of images `labelled`, `weak` `(batch, height, width, bands)` in 0..255,
    `labels` and `sublabels` `(batch, height, width)` int, and either the strong view of the weak
    images, `strong`, or `strong_parameters` (see `usrn_keras.strong_view`), from which it is computed on the
    device; without both the strong view equals the weak view. With `msl` alone only labelled images are used.

    Raises:
        ValueError: If the terms or the gate are invalid, `parents` do not match the branches,
            `teacher_decay` and `sub_teacher` are not given together, or `joint_views` lacks a term.

    Example:

    >>> import numpy as np
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
        gate_level: GateLevel = "subclass",
        sub_threshold: float = 0.0,
        teacher_decay: float = 0.0,
        sub_teacher: Branch | None = None,
        sub_head: str = "random",
        terms: Sequence[Term] = ALL_TERMS,
        joint_views: bool = False,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        if errors := list(term_errors(terms)):
            raise ValueError(f"`terms`: {'; '.join(errors)}, received {list(terms)}")
        validate_gate(gate, gate_level)
        if bool(teacher_decay) != (sub_teacher is not None):
            given = "no branch" if sub_teacher is None else "a branch"
            raise ValueError(
                f"`sub_teacher` must be a branch if `teacher_decay` is above 0, and None otherwise, received "
                f"{given} with {teacher_decay}"
            )
        if joint_views and not {"ost", "sst"}.issubset(terms):
            raise ValueError(f"`joint_views` needs the terms ost and sst, received {list(terms)}")
        options = {"threshold": threshold, "lambda_u": lambda_u, "joint_views": joint_views}
        network = Network(branch, sub_branch)
        teachers = [] if sub_teacher is None else [Network(sub_teacher)]
        super().__init__(network, parents, ignore_index=ignore_index, others=teachers, **options, **kwargs)
        self.lambda_sub = lambda_sub
        self.gate = gate
        self.gate_level = gate_level
        self._sub_threshold = sub_threshold
        self.teacher_decay = teacher_decay
        self.sub_head = sub_head
        self.terms = tuple(terms)
        if sub_teacher is not None:
            sub_teacher.trainable = False
            self._move_teacher(0.0)

    @classmethod
    def from_recipe(cls, options: USRNOptions, build: Any) -> USRN:
        networks = build.networks(with_sub=True, count=2 if options.teacher_decay else 1)
        teacher = {"sub_teacher": networks[1].F_sub} if options.teacher_decay else {}
        arguments = options.arguments() | {"ignore_index": build.ignore_index}
        return cls(*networks[0], build.subclasses.parents, **teacher, **arguments)

    def start_from(self, start: Any) -> None:
        self.networks[0].copy_weights(start.branch)
        if self.sub_head == "centroids":
            self.networks[0].set_sub_classifier(*start.centroid_classifier())
        if self.sub_teacher is not None:
            self._move_teacher(0.0)

    @property
    def sub_teacher(self) -> Branch | None:
        """The moving average of F_sub; None without one."""
        return self.networks[1].F if len(self.networks) > 1 else None

    @property
    def sub_threshold(self) -> float:
        return self._sub_threshold or self.threshold

    @property
    def inputs(self) -> BatchSpec:
        unlabelled = not {"ost", "sst"}.isdisjoint(self.terms)
        return BatchSpec(unlabelled=unlabelled, strong=int(unlabelled), sublabels=True)

    @property
    def heads(self) -> dict[str, tuple[Head, ...]]:
        own, sub = ("F",) * ("ost" in self.terms), ("F_sub",) * ("sst" in self.terms)
        weak_sub = ("F_sub",) * ("sst" in self.terms or "usr" in self.terms)
        return {"labelled": ("F", "F_sub"), "weak": own + weak_sub, "strong": own + sub}

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        passes = super().forward_passes
        if self.sub_teacher is None:
            return passes
        teacher = ForwardPass("weak", "unlabelled", ("F",), network=1, gradient=False, pooled=True)
        return (teacher, *passes)

    def loss_parts(self) -> list[LossPart]:
        """Return the parts of the objective, and before them the labels of the moving average."""
        parts = super().loss_parts()
        return parts if self.sub_teacher is None else [LossPart("teacher", self.label), *parts]

    def label(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Move the average of F_sub, and label the weak view by it in inference mode."""
        if self.teacher_decay < 1:
            self._move_teacher(self.teacher_decay)
        weak_images, _ = unlabelled_images(batch)
        with no_gradient():
            logits = self.networks[1].logits(weak_images, pooled=True, training=False)
            found = subclass_pseudo_labels(logits["F"])
        return {}, {f"teacher_{name}": value for name, value in found.items()}

    def unlabelled_terms(
        self, weak: dict[Head, Tensor], strong: dict[Head, Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        """Eqs. 4 to 7."""
        targets = None
        if self.sub_teacher is not None:
            targets = {name: batch[f"teacher_{name}"] for name in ("sublabels", "sub_confidence")}
        return unlabelled_losses(
            {"weak": weak.get("F"), "strong": strong.get("F")},
            {"weak": weak.get("F_sub"), "strong": strong.get("F_sub")},
            self._parents,
            threshold=self.threshold,
            lambda_u=self.lambda_u,
            lambda_sub=self.lambda_sub,
            gate=effective_gate(self.terms, self.gate),
            gate_level=self.gate_level,
            sub_threshold=self.sub_threshold,
            sub_targets=targets,
        )

    def teach(self, logits: dict[Head, Tensor]) -> dict[str, Tensor]:
        gate = effective_gate(self.terms, self.gate)
        return pseudo_labels(
            logits["F"], logits["F_sub"], self._parents, gate=gate, gate_level=self.gate_level
        )

    def _reports(self) -> tuple[str, ...]:
        own, sub = "ost" in self.terms, "sst" in self.terms
        return ("self_training", "confident", "gate_open") * own + (
            "self_training_sub",
            "confident_sub",
        ) * sub

    def _move_teacher(self, decay: float) -> None:
        """Set the teacher to the mean of itself and F_sub."""
        move_average([self.sub_teacher], [self.sub_branch], decay)

    def get_config(self) -> dict[str, Any]:
        names = ("lambda_sub", "gate", "gate_level", "teacher_decay", "sub_head", "terms")
        own = {name: getattr(self, name) for name in names} | {"sub_threshold": self._sub_threshold}
        return super().get_config() | own

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> USRN:
        teacher = {"sub_teacher": networks[1].F} if len(networks) > 1 else {}
        return cls(*networks[0], **teacher, **config)
