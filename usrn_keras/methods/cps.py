"""Cross pseudo supervision (CPS): two networks teach each other their labels, plain or with CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import keras
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.cutmix_boxes import SeveralBoxes
from usrn_keras.losses import cross_entropy, normalised_entropy, pseudo_labels, upsampled_labels
from usrn_keras.methods.base import Method
from usrn_keras.methods.cutmix import box_mask, paste
from usrn_keras.methods.loss_part import Batch, BatchSpec, Context, LossPart, Tensor, labelled_images, unique
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import CPSOptions

BOTH = (0, 1)
SUFFIX = ("", "_2")  # of the terms of each network


@keras.saving.register_keras_serializable(package="usrn_keras")
class CPS(Method):
    """Cross pseudo supervision (CVPR 2021, arXiv 2106.01226).

    Two networks with equal pretrained weights and heads of their own. Each learns the labels of the masks,
    and all labels of the other network, without a threshold; network 1 is used at inference:

        L = CE(1, y) + CE(2, y) + weight * [ce(1, argmax 2) + ce(2, argmax 1)]

    Plain, the second bracket is the mean over all pixels of the labelled images `x` and the weak views `u`,
    pixels without a class and padding included, as in the official code. Both networks pass a view in one
    part of the objective; with `recompute` the labels come from passes of their own, so that the activations
    of one network are in memory at a time, at the cost of more passes.

    With CutMix the bracket has mixed images alone: three boxes of another batch are pasted into the weak
    views, `m = paste(boxes, u1, u0)`, and each network learns from the other one's labels of both, pasted
    alike, `ce(1, paste(boxes, argmax 2(u1), argmax 2(u0)))`. The labels come from passes without gradient.

    All passes use the statistics of their batch. Unlike the official code, logits are upsampled with
    half-pixel centres, and views and optimizer are those of the recipe. With `recompute` or CutMix, the
    passes for labels draw another dropout and update the moving statistics too, as in the official CutMix.

    Args:
        networks: Two networks.
        weight: Weight of the cross supervision; the paper has 1.5 on VOC and 6 on Cityscapes, with CutMix 1
            and 5.
        cutmix: Whether the unlabelled images are mixed.
        recompute: Whether labels come from passes of their own; always so with CutMix.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict as for `SelfTraining`, without a strong view, and with CutMix with other weak views,
    `donor (U, height, width, 3)`, and `boxes (U, 3, 4)` int32. `Batches` makes it.

    Raises:
        ValueError: There are not two networks.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> one, two = (build_branches("keras/mobilenet", classes=3, weights="none", width=0.25, seed=[0, number])
    ...     for number in range(2))
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> model = CPS([Network(one[0]), Network(two[0])])
    >>> terms = model.loss_terms({"labelled": images, "weak": images, "labels": labels})
    >>> sorted(terms)[-3:]
    ['loss', 'supervised', 'supervised_2']
    """

    method_name = "cps"
    title = "CPS"
    Options = CPSOptions
    makes_pseudo_labels: ClassVar[bool] = True

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        weight: float = 1.5,
        cutmix: bool = False,
        recompute: bool = False,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        if len(networks) != 2:
            raise ValueError(f"`networks` must be two networks, received {len(networks)}")
        super().__init__(networks, ignore_index=ignore_index, **kwargs)
        self.weight = weight
        self.cutmix = cutmix
        self.recompute = recompute

    @classmethod
    def from_recipe(cls, options: CPSOptions, build: Any) -> CPS:
        return cls(build.networks(count=2), ignore_index=build.ignore_index, **options.model_dump())

    def start_from(self, start: Any) -> None:
        """Start both backbones, and the heads of network 1, from the Baseline.

        The heads of network 2 stay as drawn: equal networks would teach each other what they say already.
        """
        self.networks[0].copy_weights(start.branch)
        for part in ("stem", "tail"):
            getattr(self.networks[1].F, part).set_weights(getattr(start.branch, part).get_weights())

    @property
    def inputs(self) -> BatchSpec:
        return BatchSpec(unlabelled=True, donor=self.cutmix, boxes=SeveralBoxes() if self.cutmix else None)

    @property
    def views(self) -> tuple[str, str]:
        """Views that the networks learn from."""
        return ("labelled", "mixed" if self.cutmix else "weak")

    @property
    def labelled_first(self) -> tuple[str, ...]:
        """Views that are labelled by passes of their own."""
        return ("weak", "donor") if self.cutmix else self.views if self.recompute else ()

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        def passes(view: str, name: str, gradient: bool) -> list[ForwardPass]:
            images = "labelled" if view == "labelled" else "unlabelled"
            return [ForwardPass(name, images, ("F",), network, gradient) for network in BOTH]

        labels = [one for view in self.labelled_first for one in passes(view, f"{view}, labels", False)]
        return (*labels, *(one for view in self.views for one in passes(view, view, True)))

    def loss_parts(self) -> list[LossPart]:
        parts = [LossPart("labels", self.label)] if self.labelled_first else []
        together = [(number,) for number in BOTH] if self.labelled_first else [BOTH]
        for view in self.views:
            reported = "supervised" if view == "labelled" else "cross"
            for numbers in together:
                trains = unique(v for n in numbers for v in self.networks[n].trainable_variables)
                reports = [reported + SUFFIX[n] for n in numbers]
                learn = partial(self.learn, view, numbers)
                parts.append(LossPart(f"{view}{SUFFIX[numbers[0]]}", learn, trains, reports))
        return parts

    def label(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Label views by both networks without gradient; with CutMix, paste the labels."""
        found = {}
        for view in self.labelled_first:
            images = self._images(view, batch)
            with no_gradient():
                logits = [network.logits(images)["F"] for network in self.networks]
            found |= {f"{view}{SUFFIX[n]}": self._labels(logits[n], images) for n in BOTH}
        if self.cutmix:
            mask = box_mask(batch["boxes"], *batch["weak"].shape[1:3])
            found = {f"mixed{end}": paste(mask, found[f"donor{end}"], found[f"weak{end}"]) for end in SUFFIX}
        return {}, found

    def learn(
        self, view: str, numbers: Sequence[int], batch: Batch, context: Context
    ) -> tuple[dict[str, Tensor], Context]:
        """Compute the terms of one network on a view, or of both, which then label it for each other.

        Args:
            view: Name of the view.
            numbers: Indices of the networks that learn.
            batch: The batch.
            context: The labels of both networks, where they come from passes of their own.
        """
        images = self._images(view, batch)
        logits = {n: self.networks[n].logits(images)["F"] for n in numbers}
        labels = {n: context.get(f"{view}{SUFFIX[n]}") for n in BOTH}
        if len(numbers) == 2:
            labels = {n: self._labels(logits[n], images) for n in BOTH}
        terms, loss = {}, 0.0
        for n in numbers:
            if view == "labelled":
                valid = batch["labels"] != self.ignore_index
                supervised = cross_entropy(logits[n], batch["labels"], valid)
                terms[f"supervised{SUFFIX[n]}"] = supervised
                loss = loss + supervised
            taught = labels[1 - n]
            if taught is not None:  # with CutMix the labelled images have no cross supervision
                cross = cross_entropy(logits[n], taught, ops.ones_like(taught, dtype="bool"))
                terms[("cross_labelled" if view == "labelled" else "cross") + SUFFIX[n]] = cross
                loss = loss + self.weight * self._share(view, batch) * cross
        shown = self.labelled_context(logits[0]) if view == "labelled" and 0 in numbers else {}
        return {"loss": loss, **terms}, shown

    def _images(self, view: str, batch: Batch) -> Tensor:
        if view == "labelled":
            return labelled_images(batch)
        if view == "mixed":
            mask = box_mask(batch["boxes"], *batch["weak"].shape[1:3])
            return paste(mask, self._images("donor", batch), self._images("weak", batch))
        return ops.cast(batch[view], "float32")

    def _labels(self, logits: Tensor, images: Tensor) -> Tensor:
        return upsampled_labels(logits, images.shape[1] // logits.shape[1])["labels"]

    def _share(self, view: str, batch: Batch) -> Tensor | float:
        """Share of a view among the pixels with cross supervision."""
        if view == "mixed":
            return 1.0
        sizes = [ops.cast(ops.shape(batch[name])[0], "float32") for name in ("labelled", "weak")]
        return sizes[view == "weak"] / (sizes[0] + sizes[1])

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the labels of network 2, which network 1 learns, and network 1's own."""
        logits = [network.logits(images, pooled=True, training=False)["F"] for network in self.networks]
        own, taught = (pseudo_labels(values, None, None) for values in logits)
        return own | {
            "labels": taught["labels"],
            "confidence": taught["confidence"],
            "entropy": normalised_entropy(logits[1]),
        }

    def get_config(self) -> dict[str, Any]:
        own = {"weight": self.weight, "cutmix": self.cutmix, "recompute": self.recompute}
        return super().get_config() | own
