"""Supervised training of one branch: the Baseline, and the Oracle on all masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras

from usrn_keras.losses import cross_entropy_and_accuracy
from usrn_keras.methods.base import Method, baseline_stage
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, labelled_images
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import Network
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Stage


@keras.saving.register_keras_serializable(package="usrn_keras")
class Supervised(Method):
    """Cross entropy of F on labelled images (the paper's *Baseline*).

    Args:
        branch: The class branch F.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of `labelled (batch, height, width, bands)` in 0..255, and
    `labels (batch, height, width)` int; `labelled_parameters`, if present, jitters the colours.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> model = Supervised(branch)
    >>> batch = {"labelled": np.zeros((2, 32, 32, 3), "uint8"), "labels": np.zeros((2, 32, 32), "int32")}
    >>> sorted(model.loss_terms(batch))
    ['loss', 'pixel_accuracy']
    """

    method_name = "supervised"
    title = "Baseline"
    takes_features: ClassVar[bool] = True
    trains_on_parts: ClassVar[bool] = True

    def __init__(self, branch: Branch, *, ignore_index: int = 255, **kwargs: Any):
        super().__init__([Network(branch)], ignore_index=ignore_index, **kwargs)

    @property
    def branch(self) -> Branch:
        """The class branch F."""
        return self.networks[0].F

    @classmethod
    def stages(cls, recipe: Recipe) -> list[Stage]:
        return [baseline_stage(recipe)]

    @classmethod
    def from_recipe(cls, options: None, build: Any) -> Supervised:
        (network,) = build.networks()
        return cls(network.F, ignore_index=build.ignore_index)

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        return [LossPart("labelled", self._labelled, trains, reports=("pixel_accuracy",))]

    def _labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        logits = self.networks[0].logits(labelled_images(batch))["F"]
        valid = batch["labels"] != self.ignore_index
        loss, accuracy = cross_entropy_and_accuracy(logits, batch["labels"], valid)
        return {"loss": loss, "pixel_accuracy": accuracy}, self.labelled_context(logits)

    @classmethod
    def _restored(cls, networks: Sequence[Network], config: dict[str, Any]) -> Supervised:
        return cls(networks[0].F, **config)
