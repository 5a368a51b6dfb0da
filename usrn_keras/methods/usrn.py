"""USRN: two branches, three views, one objective."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient, run_graph
from usrn_keras.losses import Gate, supervised_losses, unlabelled_losses
from usrn_keras.methods.supervised import labelled_images
from usrn_keras.networks import Branch, upsample
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
        ignore_index: Label of pixels without a class.
        **kwargs: Of `keras.Model`.

    A batch is a dict of images `labelled`, `weak` `(batch, height, width, 3)`, RGB in 0..255,
    `labels` and `sublabels` `(batch, height, width)` int, and either the strong view of the weak
    images, `strong`, or `strong_parameters` (see `usrn_keras.views`), from which it is made on the
    device; without both the strong view is the weak one.

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
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.branch = branch
        self.sub_branch = sub_branch
        self.parents = [int(parent) for parent in parents]
        self.threshold = threshold
        self.lambda_u = lambda_u
        self.lambda_sub = lambda_sub
        self.gate = gate
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
        return [lambda: self._labelled_losses(batch), lambda: self._unlabelled_losses(batch)]

    def _labelled_losses(self, batch: dict[str, Any]) -> dict[str, Any]:
        return supervised_losses(
            *self._logits(labelled_images(batch)),
            batch["labels"],
            batch["sublabels"],
            lambda_sub=self.lambda_sub,
            ignore_index=self.ignore_index,
        )

    def _unlabelled_losses(self, batch: dict[str, Any]) -> dict[str, Any]:
        weak_images = ops.cast(batch["weak"], "float32")
        strong_images = ops.cast(batch.get("strong", batch["weak"]), "float32")
        if "strong_parameters" in batch:
            strong_images = strong_view(weak_images, batch["strong_parameters"])
        with no_gradient():
            weak = self._logits(weak_images, pooled=True)
        strong = self._logits(strong_images, pooled=True)
        return unlabelled_losses(
            {"weak": weak[0], "strong": strong[0]},
            {"weak": weak[1], "strong": strong[1]},
            np.array(self.parents, dtype="int32"),
            threshold=self.threshold,
            lambda_u=self.lambda_u,
            lambda_sub=self.lambda_sub,
            gate=self.gate,
        )

    def _logits(self, images: Any, pooled: bool = False) -> list[Any]:
        """Logits of F and F_sub in training mode, at stride 4, or 8 if `pooled`."""
        branches = (self.branch, self.sub_branch)
        lows = self._shared("stem", [images, images])
        highs = self._shared("tail", lows)
        logits = []
        for branch, low, high in zip(branches, lows, highs, strict=True):
            features = run_graph(branch.decoder, [low, high], training=True)
            features = self.pool(features) if pooled else features
            logits.append(run_graph(branch.classifier, features, training=True))
        return logits

    def _shared(self, part: str, inputs: list[Any]) -> list[Any]:
        """A part of both branches applied to their inputs, once if it is the same part and input."""
        own, sub = getattr(self.branch, part), getattr(self.sub_branch, part)
        result = run_graph(own, inputs[0], training=True)
        if own is sub and inputs[0] is inputs[1]:
            return [result, result]
        return [result, run_graph(sub, inputs[1], training=True)]

    def slow_variables(self) -> list[keras.Variable]:
        """Variables of the backbones, which learn at a fraction of the rate."""
        return [*self.branch.backbone_variables(), *self.sub_branch.backbone_variables()]

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        plain = ("parents", "threshold", "lambda_u", "lambda_sub", "gate", "ignore_index")
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
