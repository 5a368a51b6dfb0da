"""USRN: two branches, three views, one objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient, run_graph
from usrn_keras.losses import supervised_losses, unlabelled_losses
from usrn_keras.methods.supervised import labelled_images
from usrn_keras.networks import Branch, upsample
from usrn_keras.terms import ALL_TERMS, Correction, Gate, Term, refuse_unknown, term_faults
from usrn_keras.training.backend import TrainStep
from usrn_keras.training.parts import Part, sum_of_parts
from usrn_keras.views import strong_view


@keras.saving.register_keras_serializable(package="usrn_keras")
class USRN(TrainStep, keras.Model):
    """Unbiased Subclass Regularization (CVPR 2022, arXiv 2203.10026).

    Both branches see every view. Each view is a batch of its own through batch
    normalisation; the weak view of the unlabelled images makes the pseudo labels and is
    passed without gradient; unlabelled features are average-pooled 2x2 before the
    classifiers, so that the unlabelled losses stand at stride 8 (as in the official code).

    Args:
        branch: The class branch F, the only one used at inference.
        sub_branch: The subclass branch F_sub. Parts that are the same objects are shared.
        parents: `(subclasses,)` int, the class of each subclass.
        threshold: gamma, the confidence a pseudo label must exceed.
        lambda_u: Weight of the unlabelled losses.
        lambda_sub: Weight of the subclass losses.
        gate: `fallback`, `stop` or `off`; see `usrn_keras.losses.usrn_losses`.
        correction: `mask` (the paper), `replace` or `average`, how F_sub corrects pseudo labels; see there.
        sub_sizes: `(subclasses,)` sizes of the subclasses: F_sub learns them with logit adjustment, so that
            it does not learn to prefer large ones; None: as they come (the paper, whose sizes are equal).
        terms: What the objective is made of, names of `usrn_keras.terms.TERMS` (the paper's Table 3).
            What no term needs is not computed.
        ignore_index: Label of pixels without a class.
        **kwargs: Of `keras.Model`.

    A batch is a dict of images `labelled`, `weak` `(batch, height, width, 3)`, RGB in 0..255,
    `labels` and `sublabels` `(batch, height, width)` int, and either the strong view of the weak
    images, `strong`, or `strong_parameters` (see `usrn_keras.views`), from which it is made on the
    device; without both the strong view is the weak one. With `msl` alone only the labelled are read.

    Raises:
        ValueError: The terms make no objective, there is no such gate or correction, or `parents` are not
            those of the branches.

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
        correction: Correction = "mask",
        sub_sizes: Sequence[int] | None = None,
        terms: Sequence[Term] = ALL_TERMS,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        if faults := list(term_faults(terms)):
            raise ValueError(f"`terms`: {'; '.join(faults)}, received {list(terms)}")
        refuse_unknown(gate=gate, correction=correction)
        _refuse_other_parents(parents, branch, sub_branch)
        super().__init__(**kwargs)
        self.branch = branch
        self.sub_branch = sub_branch
        self.parents = [int(parent) for parent in parents]
        self.threshold = threshold
        self.lambda_u = lambda_u
        self.lambda_sub = lambda_sub
        self.gate = gate
        self.correction = correction
        self.sub_sizes = None if sub_sizes is None else [int(size) for size in sub_sizes]
        self.terms = tuple(terms)
        self.ignore_index = ignore_index
        self.upsample = upsample(4)
        self.pool = keras.layers.AveragePooling2D(2, name="stride_8")
        self.pool.build((None, None, None, None))
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Logits of F at full size, `(batch, height, width, classes)` float32."""
        return self.upsample(self.branch(images, training=training))

    def loss_terms(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The terms of the objective for a batch, float32 scalars (see `usrn_losses`)."""
        return sum_of_parts([part() for part in self.loss_parts(batch)])

    def loss_parts(self, batch: dict[str, Any]) -> list[Part]:
        """The objective in two parts, labelled and unlabelled images, whose `loss` add up.

        A training step takes their gradients one after the other, so that the activations of one view
        are in memory at a time.
        """
        parts = [lambda: self._labelled_losses(batch)]
        return [*parts, lambda: self._unlabelled_losses(batch)] if self.sees_unlabelled else parts

    @property
    def sees_unlabelled(self) -> bool:
        """Whether any term is about unlabelled images."""
        return not {"ost", "sst"}.isdisjoint(self.terms)

    @property
    def branches_of_view(self) -> dict[str, dict[str, bool]]:
        """Whether F, `own`, and F_sub, `sub`, see a view, `labelled`, `weak` or `strong`."""
        own, subclasses = "ost" in self.terms, "sst" in self.terms
        return {
            "labelled": {"own": True, "sub": "msl" in self.terms},
            "weak": {"own": own, "sub": subclasses or "usr" in self.terms},
            "strong": {"own": own, "sub": subclasses},
        }

    def _labelled_losses(self, batch: dict[str, Any]) -> dict[str, Any]:
        logits = self.view_logits(labelled_images(batch), **self.branches_of_view["labelled"])
        return supervised_losses(
            logits["own"],
            logits.get("sub"),
            batch["labels"],
            batch["sublabels"],
            lambda_sub=self.lambda_sub,
            sub_log_prior=self._sub_log_prior(),
            ignore_index=self.ignore_index,
        )

    def _sub_log_prior(self) -> np.ndarray | None:
        """Log of each subclass's size over the mean size: small numbers, all 0 where sizes are equal."""
        if self.sub_sizes is None:
            return None
        sizes = np.maximum(np.array(self.sub_sizes, "float32"), 1)  # a class may be too thin for any feature
        return np.log(sizes / sizes.mean())

    def _unlabelled_losses(self, batch: dict[str, Any]) -> dict[str, Any]:
        weak_images = ops.cast(batch["weak"], "float32")
        strong_images = ops.cast(batch.get("strong", batch["weak"]), "float32")
        if "strong_parameters" in batch:
            strong_images = strong_view(weak_images, batch["strong_parameters"])
        branches = self.branches_of_view
        with no_gradient():
            weak = self.view_logits(weak_images, **branches["weak"], pooled=True)
        strong = self.view_logits(strong_images, **branches["strong"], pooled=True)
        return unlabelled_losses(
            {"weak": weak.get("own"), "strong": strong.get("own")},
            {"weak": weak.get("sub"), "strong": strong.get("sub")},
            np.array(self.parents, dtype="int32"),
            threshold=self.threshold,
            lambda_u=self.lambda_u,
            lambda_sub=self.lambda_sub,
            gate=self.gate,
            correction=self.correction,
            terms=self.terms,
        )

    def view_logits(
        self,
        images: Any,
        *,
        own: bool = True,
        sub: bool = True,
        pooled: bool = False,
        training: bool = True,
    ) -> dict[str, Any]:
        """Logits of F, `own`, and F_sub, `sub`, for one view; what they share is computed once.

        Args:
            images: `(batch, height, width, 3)` float32, RGB in 0..255.
            own, sub: Which of them are wanted.
            pooled: At stride 8, from average-pooled features, instead of 4.
            training: Whether batch normalisation takes the statistics of this view.

        Returns:
            `(batch, height / stride, width / stride, classes or subclasses)` float32, by name.
        """
        branches = {"own": self.branch} if own else {}
        branches |= {"sub": self.sub_branch} if sub else {}
        lows = self._applied("stem", dict.fromkeys(branches, images), training)
        highs = self._applied("tail", lows, training)
        logits = {}
        for name, branch in branches.items():
            features = branch.features(lows[name], highs[name], training=training)
            features = self.pool(features) if pooled else features
            logits[name] = run_graph(branch.classifier, features, training=training)
        return logits

    def _applied(self, part: str, inputs: dict[str, Any], training: bool) -> dict[str, Any]:
        """A part of each branch applied to its input, once where part and input are the same."""
        models = {"own": getattr(self.branch, part), "sub": getattr(self.sub_branch, part)}
        results: dict[str, Any] = {}
        for name, value in inputs.items():
            shared = name == "sub" and "own" in results and models["own"] is models["sub"]
            if shared and inputs["own"] is value:
                results[name] = results["own"]
            else:
                results[name] = run_graph(models[name], value, training=training)
        return results

    def slow_variables(self) -> list[keras.Variable]:
        """Variables of the backbones, which learn at a fraction of the rate."""
        return [*self.branch.backbone_variables(), *self.sub_branch.backbone_variables()]

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        plain = (
            "parents", "threshold", "lambda_u", "lambda_sub", "gate", "correction", "sub_sizes", "terms",
            "ignore_index",
        )  # fmt: skip
        return super().get_config() | {
            "branch": serialize(self.branch),
            "sub_branch": serialize(self.sub_branch),
            "shared": [p for p in ("stem", "tail") if getattr(self.branch, p) is getattr(self.sub_branch, p)],
            **{name: getattr(self, name) for name in plain},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> USRN:
        config = dict(config)
        branch = keras.saving.deserialize_keras_object(config.pop("branch"))
        sub_branch = keras.saving.deserialize_keras_object(config.pop("sub_branch"))
        own = {part: getattr(branch, part) for part in config.pop("shared")}
        parts = {part: getattr(sub_branch, part) for part in ("stem", "tail", "decoder", "classifier")}
        return cls(branch, Branch(**(parts | own), name=sub_branch.name), **config)


def _refuse_other_parents(parents: Sequence[int], branch: Branch, sub_branch: Branch) -> None:
    classes, subclasses = (one.classifier.output_shape[-1] for one in (branch, sub_branch))
    if len(parents) != subclasses:
        raise ValueError(
            f"`parents` must name a class for each of {subclasses} subclasses, received {len(parents)}"
        )
    if outside := [int(parent) for parent in parents if not 0 <= parent < classes]:
        raise ValueError(f"`parents` must be classes in 0..{classes - 1}, received {outside[:5]}")
