"""Cross pseudo supervision (CPS): two networks teach each other their labels, plain or with CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.views.cutmix_boxes import SeveralBoxes
from usrn_keras.losses import ohem_pixels, pseudo_labels
from usrn_keras.methods.cutmix import box_mask, paste
from usrn_keras.methods.host_method import HostMethod, Logits, Target, named, view_of
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, labelled_images, unique
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import CPSOptions

BOTH = (0, 1)
SUFFIX = ("", "_2")  # of the terms of each network


@keras.saving.register_keras_serializable(package="usrn_keras")
class CPS(HostMethod):
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
        supervised: Loss on masks: `ce`, or `ohem` for the hard pixels of each network alone, see
            `usrn_keras.losses.ohem_pixels`; F_sub learns the same pixels as F.
        **kwargs: Arguments of `HostMethod`: `ignore_index` and `second_head`.

    A batch is a dict as for `SelfTraining`, without a strong view, and with CutMix with other weak views,
    `donor (U, height, width, bands)`, and `boxes (U, 3, 4)` int32. `Batches` makes it.

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

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        weight: float = 1.5,
        cutmix: bool = False,
        recompute: bool = False,
        supervised: str = "ce",
        **kwargs: Any,
    ):
        if len(networks) != 2:
            raise ValueError(f"`networks` must be two networks, received {len(networks)}")
        super().__init__(networks, **kwargs)
        self.weight = weight
        self.cutmix = cutmix
        self.recompute = recompute
        self.supervised_by = supervised

    @classmethod
    def from_recipe(cls, options: CPSOptions, build: Any) -> CPS:
        return cls(build.networks(count=2), **build.arguments, **options.arguments())

    def start_from(self, start: Any) -> None:
        """Start both backbones, and the heads of network 1, from the Baseline.

        The heads of network 2 stay as drawn: equal networks would teach each other what they say already.
        """
        self.networks[0].copy_weights(start.branch)
        self.networks[1].copy_weights(start.branch, parts=("stem", "tail"))
        self.start_second_heads(start)

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
            return [ForwardPass(name, images, self.heads, network, gradient) for network in BOTH]

        labels = [one for view in self.labelled_first for one in passes(view, f"{view}, labels", False)]
        return (*labels, *(one for view in self.views for one in passes(view, view, True)))

    def loss_parts(self) -> list[LossPart]:
        parts = [LossPart("labels", self.label)] if self.labelled_first else []
        together = [(number,) for number in BOTH] if self.labelled_first else [BOTH]
        for view in self.views:
            reports = self.supervised_reports if view == "labelled" else ("cross", *self.learn_reports[2:])
            for numbers in together:
                trains = unique(v for n in numbers for v in self.networks[n].trainable_variables)
                shown = [name + SUFFIX[n] for n in numbers for name in reports]
                part = partial(self.view_terms, view, numbers)
                parts.append(LossPart(f"{view}{SUFFIX[numbers[0]]}", part, trains, shown))
        return parts

    def label(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Label views by both networks without gradient; with CutMix, paste the labels."""
        found: dict[str, list[Target]] = {}
        for view in self.labelled_first:
            images = self._images(view, batch)
            with no_gradient():
                logits = [network.logits(images, self.heads) for network in self.networks]
            found[view] = [self.teach(one, images) for one in logits]
        if self.cutmix:
            mask = box_mask(batch["boxes"], *batch["weak"].shape[1:3])
            found = {"mixed": [paste(mask, found["donor"][n], found["weak"][n]) for n in BOTH]}
        context = {}
        for view, targets in found.items():
            for n in BOTH:
                context |= named(f"{view}_{n}", targets[n])
        return {}, context

    def view_terms(
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
        logits = {n: self.networks[n].logits(images, self.heads) for n in numbers}
        if len(numbers) == 2:
            targets = {n: self.teach(logits[n], images) for n in BOTH}
        else:
            targets = {n: view_of(f"{view}_{n}", context) for n in BOTH}
        terms, loss = {}, 0.0
        for n in numbers:
            if view == "labelled":
                supervised = self.supervised(logits[n], self._hard(batch, logits[n]))
                loss = loss + supervised.pop("loss")
                terms |= {name + SUFFIX[n]: value for name, value in supervised.items()}
            if targets[1 - n]:  # with CutMix the labelled images have no cross supervision
                cross, found = self._cross(view, logits[n], targets[1 - n])
                loss = loss + self.weight * self._share(view, batch) * cross
                terms |= {name + SUFFIX[n]: value for name, value in found.items()}
        shown = self.labelled_context(logits[0]["F"]) if view == "labelled" and 0 in numbers else {}
        return {"loss": loss, **terms}, shown

    def _cross(self, view: str, logits: Logits, target: Target) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of a view on the labels of the other network, and the terms that describe it."""
        terms = self.learn(logits, target)
        loss, cross = terms.pop("loss"), terms.pop("self_training")
        if view == "labelled":
            return loss, {"cross_labelled": cross}
        if self.second_head is None:
            terms.pop("confident")  # always 1
        return loss, {"cross": cross, **terms}

    def _hard(self, batch: Batch, logits: Logits) -> Batch:
        """The batch, with OHEM without the labels of the pixels that are not hard for a network."""
        if self.supervised_by == "ce":
            return batch
        labels = batch["labels"]
        hard = ohem_pixels(logits["F"], labels, labels != self.ignore_index)
        return batch | {"labels": ops.where(hard, labels, self.ignore_index)}

    def _images(self, view: str, batch: Batch) -> Tensor:
        if view == "labelled":
            return labelled_images(batch)
        if view == "mixed":
            mask = box_mask(batch["boxes"], *batch["weak"].shape[1:3])
            views = ({"images": self._images(name, batch)} for name in ("donor", "weak"))
            return paste(mask, *views)["images"]
        return ops.cast(batch[view], "float32")

    def _share(self, view: str, batch: Batch) -> Tensor | float:
        """Share of a view among the pixels with cross supervision."""
        if view == "mixed":
            return 1.0
        sizes = [ops.cast(ops.shape(batch[name])[0], "float32") for name in ("labelled", "weak")]
        return sizes[view == "weak"] / (sizes[0] + sizes[1])

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the labels of network 2, which network 1 learns, and network 1's own."""
        own = self.networks[0].logits(images, pooled=True, training=False)["F"]
        taught = self.labels_at_stride_8(self.networks[1], images)
        names = ("own_labels", "own_confidence")
        return taught | {name: pseudo_labels(own, None, None)[name] for name in names}

    def get_config(self) -> dict[str, Any]:
        own = {"weight": self.weight, "cutmix": self.cutmix, "recompute": self.recompute}
        own |= {"supervised": self.supervised_by}
        return super().get_config() | own
