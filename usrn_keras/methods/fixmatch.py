"""FixMatch for segmentation: a confident weak view teaches a strong view that CutMix has mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.cutmix_boxes import OneBox
from usrn_keras.losses import cross_entropy, normalised_entropy, pseudo_labels, upsampled_labels
from usrn_keras.methods.base import Method
from usrn_keras.methods.cutmix import box_mask, paste
from usrn_keras.methods.loss_part import (
    Batch,
    BatchSpec,
    Context,
    LossPart,
    Tensor,
    labelled_images,
    unlabelled_images,
)
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import FixMatchOptions


@keras.saving.register_keras_serializable(package="usrn_keras")
class FixMatch(Method):
    """FixMatch (arXiv 2001.07685) for segmentation, as in the repository of UniMatch.

    The network labels the weak view `w` of each unlabelled image and of a donor image. CutMix pastes a box of
    the donor's strong view into the strong view `s`, and the donor's labels and confidences into those of
    `w`, which gives labels `t` and confidences `c`; `F` learns the confident ones:

        L = 1/2 CE(x, y) + 1/2 lambda_u * sum 1[c >= gamma] valid * ce(mix(s, s_donor), t) / sum valid

    `valid` are the pixels that are image and not padding; the sum is divided by their number, kept or not.
    Labels, confidences and losses have full size. The donor is labelled in inference mode; `x` and `w` are
    one batch for batch normalisation, and the mixed strong view is another one.

    Unlike the official code, logits are upsampled with half-pixel centres, padding is the mean colour of
    ImageNet and not black, and views and optimizer are those of the recipe.

    Args:
        networks: The network; its F is trained.
        threshold: Confidence gamma that a pseudo label must reach.
        cutmix: Whether a box of a donor image is pasted, with probability one half.
        lambda_u: Weight of the loss on unlabelled images.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict as for `SelfTraining`, with `weak_filled (U, 4)` int32, and with CutMix `boxes
    (U, 1, 4)` int32, the weak view of the donors, `donor`, their strong view, `donor_strong` or
    `donor_strong_parameters`, and `donor_filled`. `Batches` makes it.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> batch = {"labelled": images, "weak": images, "labels": labels}
    >>> batch["weak_filled"] = np.array([[0, 0, 64, 64], [0, 0, 64, 48]], "int32")
    >>> terms = FixMatch([Network(branch)], cutmix=False).loss_terms(batch)
    >>> sorted(terms)
    ['confident', 'loss', 'self_training', 'supervised']
    """

    method_name = "fixmatch"
    title = "FixMatch"
    Options = FixMatchOptions
    makes_pseudo_labels: ClassVar[bool] = True

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        threshold: float = 0.95,
        cutmix: bool = True,
        lambda_u: float = 1.0,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        super().__init__(networks, ignore_index=ignore_index, **kwargs)
        self._threshold = threshold
        self.cutmix = cutmix
        self.lambda_u = lambda_u

    @property
    def inputs(self) -> BatchSpec:
        cutmix = {"donor": True, "boxes": OneBox()} if self.cutmix else {}
        return BatchSpec(unlabelled=True, strong=1, filled=True, **cutmix)

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        donor = ForwardPass("donor", "unlabelled", ("F",), gradient=False)
        both = ForwardPass("labelled and weak", "both", ("F",))
        return (*[donor] * self.cutmix, both, ForwardPass("strong", "unlabelled", ("F",)))

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        return [
            *[LossPart("donor", self.label_donor)] * self.cutmix,
            LossPart("labelled", self.labelled, trains, reports=("supervised",)),
            LossPart("strong", self.strong, trains, reports=("self_training", "confident")),
        ]

    def label_donor(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Label the weak view of the donor images, in inference mode."""
        images = ops.cast(batch["donor"], "float32")
        with no_gradient():
            logits = self.networks[0].logits(images, training=False)["F"]
        return {}, self._labels("donor", logits, images)

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the cross entropy of the labelled images, and label the weak view in the same batch."""
        images, weak = labelled_images(batch), ops.cast(batch["weak"], "float32")
        count = ops.shape(images)[0]
        logits = self.networks[0].logits(ops.concatenate([images, weak]))["F"]
        own, labels = logits[:count], batch["labels"]
        supervised = cross_entropy(own, labels, labels != self.ignore_index)
        found = self.labelled_context(own) | self._labels("weak", logits[count:], weak)
        return {"loss": 0.5 * supervised, "supervised": supervised}, found

    def strong(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss of the strong view on the confident labels, both mixed by CutMix."""
        _, images = unlabelled_images(batch)
        target = {"images": images, **self._targets("weak", batch, context)}
        if self.cutmix:
            _, donor_images = unlabelled_images(batch, donor=True)
            donor = {"images": donor_images, **self._targets("donor", batch, context)}
            mask = box_mask(batch["boxes"], *images.shape[1:3])
            target = {name: paste(mask, donor[name], target[name]) for name in target}
        logits = self.networks[0].logits(target["images"])["F"]
        valid = target["valid"]
        kept = ops.logical_and(target["confidence"] >= self.threshold, valid)
        pixels = ops.sum(ops.cast(valid, "float32"))
        loss = cross_entropy(logits, target["labels"], kept, pixels)
        confident = ops.sum(ops.cast(kept, "float32")) / ops.maximum(pixels, 1.0)
        return {"loss": 0.5 * self.lambda_u * loss, "self_training": loss, "confident": confident}, {}

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        # Pooled logits are those of the upsampled map at the centres of the cells of stride 8.
        logits = self.networks[0].logits(images, pooled=True, training=False)["F"]
        return pseudo_labels(logits, None, None) | {"entropy": normalised_entropy(logits)}

    def _labels(self, view: str, logits: Tensor, images: Tensor) -> Context:
        found = upsampled_labels(logits, images.shape[1] // logits.shape[1])
        return {f"{view}_{name}": value for name, value in found.items()}

    def _targets(self, view: str, batch: Batch, context: Context) -> dict[str, Tensor]:
        """Labels, confidences and valid pixels of a view, `(batch, height, width)`."""
        size = batch[view].shape[1:3]
        return {
            "labels": context[f"{view}_labels"],
            "confidence": context[f"{view}_confidence"],
            "valid": box_mask(batch[f"{view}_filled"][:, None], *size),
        }

    def get_config(self) -> dict[str, Any]:
        own = {"threshold": self.threshold, "cutmix": self.cutmix, "lambda_u": self.lambda_u}
        return super().get_config() | own
