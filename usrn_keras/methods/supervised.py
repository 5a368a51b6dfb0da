"""Plain supervised training of one branch: the Baseline, and the Oracle on all masks."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from usrn_keras.losses import cross_entropy_and_accuracy
from usrn_keras.networks import Branch, upsample
from usrn_keras.training.backend import TrainStep
from usrn_keras.training.parts import Part
from usrn_keras.views import strong_view


@keras.saving.register_keras_serializable(package="usrn_keras")
class Supervised(TrainStep, keras.Model):
    """Cross entropy of F on labelled images (the paper's *Baseline*).

    Args:
        branch: The class branch F.
        ignore_index: Label of pixels without a class.
        **kwargs: Of `keras.Model`.

    A batch is a dict of `labelled (batch, height, width, 3)`, RGB in 0..255, and
    `labels (batch, height, width)` int; `labelled_parameters`, if there, jitters the colours.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> model = Supervised(branch)
    >>> batch = {"labelled": np.zeros((2, 32, 32, 3), "uint8"), "labels": np.zeros((2, 32, 32), "int32")}
    >>> sorted(model.loss_terms(batch))
    ['loss', 'pixel_accuracy']
    """

    def __init__(self, branch: Branch, *, ignore_index: int = 255, **kwargs: Any):
        super().__init__(**kwargs)
        self.branch = branch
        self.ignore_index = ignore_index
        self.upsample = upsample(4)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        """Logits of F at full size, `(batch, height, width, classes)` float32."""
        return self.upsample(self.branch(images, training=training))

    def loss_terms(self, batch: dict[str, Any]) -> dict[str, Any]:
        """`loss` and `pixel_accuracy` of a batch, float32 scalars."""
        logits = self.branch(labelled_images(batch), training=True)
        valid = batch["labels"] != self.ignore_index
        loss, accuracy = cross_entropy_and_accuracy(logits, batch["labels"], valid)
        return {"loss": loss, "pixel_accuracy": accuracy}

    def loss_parts(self, batch: dict[str, Any]) -> list[Part]:
        """The objective, in one part (see `USRN.loss_parts`)."""
        return [lambda: self.loss_terms(batch)]

    def slow_variables(self) -> list[keras.Variable]:
        """Variables of the backbone, which learn at a fraction of the rate."""
        return self.branch.backbone_variables()

    def get_config(self) -> dict[str, Any]:
        branch = keras.saving.serialize_keras_object(self.branch)
        return super().get_config() | {"branch": branch, "ignore_index": self.ignore_index}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Supervised:
        return cls(**(config | {"branch": keras.saving.deserialize_keras_object(config["branch"])}))


def labelled_images(batch: dict[str, Any]) -> Any:
    """The labelled images of a batch as float32, jittered where the batch says how."""
    images = ops.cast(batch["labelled"], "float32")
    if "labelled_parameters" in batch:
        images = strong_view(images, batch["labelled_parameters"])
    return images
