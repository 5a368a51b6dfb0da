"""USRN, the method of the paper: two branches, three views, one objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import pseudo_labels, unlabelled_losses
from usrn_keras.losses.pseudo_labels import validate_gate
from usrn_keras.methods.loss_part import Batch, Tensor
from usrn_keras.methods.pseudo_label_method import PseudoLabelMethod
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import Head, Network
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
        terms: Terms of the objective (ablation of the paper, Table 3): `msl`, `ost`, `usr`, `sst`, `egm`.
            Passes that no term needs are skipped.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of images `labelled`, `weak` `(batch, height, width, bands)` in 0..255,
    `labels` and `sublabels` `(batch, height, width)` int, and either the strong view of the weak
    images, `strong`, or `strong_parameters` (see `usrn_keras.strong_view`), from which it is computed on the
    device; without both the strong view equals the weak view. With `msl` alone only labelled images are used.

    Raises:
        ValueError: If the terms or the gate are invalid, or `parents` do not match the branches.

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
        sub_head: str = "random",
        terms: Sequence[Term] = ALL_TERMS,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        if errors := list(term_errors(terms)):
            raise ValueError(f"`terms`: {'; '.join(errors)}, received {list(terms)}")
        validate_gate(gate)
        network, options = Network(branch, sub_branch), {"threshold": threshold, "lambda_u": lambda_u}
        super().__init__(network, parents, ignore_index=ignore_index, **options, **kwargs)
        self.lambda_sub = lambda_sub
        self.gate = gate
        self.sub_head = sub_head
        self.terms = tuple(terms)

    def start_from(self, start: Any) -> None:
        super().start_from(start)
        if self.sub_head == "centroids":
            self.networks[0].set_sub_classifier(*start.centroid_classifier())

    @property
    def inputs(self) -> BatchSpec:
        unlabelled = not {"ost", "sst"}.isdisjoint(self.terms)
        return BatchSpec(unlabelled=unlabelled, strong=int(unlabelled), sublabels=True)

    @property
    def heads(self) -> dict[str, tuple[Head, ...]]:
        own, sub = ("F",) * ("ost" in self.terms), ("F_sub",) * ("sst" in self.terms)
        weak_sub = ("F_sub",) * ("sst" in self.terms or "usr" in self.terms)
        return {"labelled": ("F", "F_sub"), "weak": own + weak_sub, "strong": own + sub}

    def unlabelled_terms(
        self, weak: dict[Head, Tensor], strong: dict[Head, Tensor], batch: Batch
    ) -> dict[str, Tensor]:
        """Eqs. 4 to 7."""
        return unlabelled_losses(
            {"weak": weak.get("F"), "strong": strong.get("F")},
            {"weak": weak.get("F_sub"), "strong": strong.get("F_sub")},
            self._parents,
            threshold=self.threshold,
            lambda_u=self.lambda_u,
            lambda_sub=self.lambda_sub,
            gate=effective_gate(self.terms, self.gate),
        )

    def teach(self, logits: dict[Head, Tensor]) -> dict[str, Tensor]:
        gate = effective_gate(self.terms, self.gate)
        return pseudo_labels(logits["F"], logits["F_sub"], self._parents, gate=gate)

    def _reports(self) -> tuple[str, ...]:
        own, sub = "ost" in self.terms, "sst" in self.terms
        return ("self_training", "confident", "gate_open") * own + (
            "self_training_sub",
            "confident_sub",
        ) * sub

    def get_config(self) -> dict[str, Any]:
        names = ("lambda_sub", "gate", "sub_head", "terms")
        return super().get_config() | {name: getattr(self, name) for name in names}
