"""FixMatch for segmentation: a confident weak view teaches a strong view that CutMix has mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.views.cutmix_boxes import OneBox
from usrn_keras.methods.cutmix import box_mask, paste
from usrn_keras.methods.host_method import HostMethod, Target, named, view_of
from usrn_keras.methods.loss_part import (
    Batch,
    Context,
    LossPart,
    Tensor,
    labelled_images,
    unlabelled_images,
)
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import FixMatchOptions


@keras.saving.register_keras_serializable(package="usrn_keras")
class FixMatch(HostMethod):
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
        **kwargs: Arguments of `HostMethod`: `ignore_index` and `second_head`.

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

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        threshold: float = 0.95,
        cutmix: bool = True,
        lambda_u: float = 1.0,
        **kwargs: Any,
    ):
        super().__init__(networks, **kwargs)
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
        donor = ForwardPass("donor", "unlabelled", self.heads, gradient=False)
        both = ForwardPass("labelled and weak", "both", self.heads)
        return (*[donor] * self.cutmix, both, ForwardPass("strong", "unlabelled", self.heads))

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        return [
            *[LossPart("donor", self.label_donor)] * self.cutmix,
            LossPart("labelled", self.labelled, trains, self.supervised_reports),
            LossPart("strong", self.strong, trains, self.learn_reports),
        ]

    def label_donor(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Label the weak view of the donor images, in inference mode."""
        images = ops.cast(batch["donor"], "float32")
        with no_gradient():
            logits = self.networks[0].logits(images, self.heads, training=False)
        return {}, named("donor", self.teach(logits, images))

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the cross entropy of the labelled images, and label the weak view in the same batch."""
        images, weak = labelled_images(batch), ops.cast(batch["weak"], "float32")
        count = ops.shape(images)[0]
        both = self.networks[0].logits(ops.concatenate([images, weak]), self.heads)
        own = {head: logits[:count] for head, logits in both.items()}
        terms = self.supervised(own, batch)
        target = self.teach({head: logits[count:] for head, logits in both.items()}, weak)
        found = self.labelled_context(own["F"]) | named("weak", target)
        return terms | {"loss": 0.5 * terms["loss"]}, found

    def strong(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss of the strong view on the confident labels, both mixed by CutMix."""
        target = self.mixed(batch, context)
        logits = self.networks[0].logits(target.pop("images"), self.heads)
        terms = self.learn(logits, target, threshold=self.threshold, valid=target["valid"])
        return terms | {"loss": 0.5 * self.lambda_u * terms["loss"]}, {}

    def mixed(self, batch: Batch, context: Context, number: int = 1) -> Target:
        """Mix a strong view, its labels and its `valid` pixels with those of the donor.

        Args:
            batch: The batch.
            context: The labels of the weak views.
            number: Number of the strong view and of its set of boxes.

        Returns:
            The target of `learn`, with the `images` of the view and its `valid` pixels.
        """

        def view(name: str, donor: bool) -> Target:
            _, images = unlabelled_images(batch, donor=donor, number=number)
            return {"images": images, "valid": self._valid(name, batch), **view_of(name, context)}

        target = view("weak", donor=False)
        if not self.cutmix:
            return target
        boxes = batch["boxes" if number == 1 else f"boxes_{number}"]
        return paste(box_mask(boxes, *target["images"].shape[1:3]), view("donor", donor=True), target)

    def _valid(self, view: str, batch: Batch) -> Tensor:
        """Pixels of a view that are image and not padding, `(batch, height, width)` bool."""
        return box_mask(batch[f"{view}_filled"][:, None], *batch[view].shape[1:3])

    def get_config(self) -> dict[str, Any]:
        own = {"threshold": self.threshold, "cutmix": self.cutmix, "lambda_u": self.lambda_u}
        return super().get_config() | own
