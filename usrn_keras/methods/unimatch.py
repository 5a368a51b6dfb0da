"""UniMatch: FixMatch with two strong views, and a view whose features are perturbed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.views.cutmix_boxes import OneBox
from usrn_keras.methods.fixmatch import FixMatch
from usrn_keras.methods.host_method import Logits, named
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, labelled_images
from usrn_keras.networks.seeded import SeededDropout
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import UniMatchOptions

VIEWS = (1, 2)


@keras.saving.register_keras_serializable(package="usrn_keras")
class UniMatch(FixMatch):
    """UniMatch (CVPR 2023, arXiv 2208.09910).

    FixMatch with more views of the same labels. Two strong views `s1`, `s2` of each unlabelled image are
    mixed with those of a donor image, each by a box of its own. A third view `fp` is the weak view whose
    features lack random channels: the feature maps of the backbone, those at stride 4 and the deepest ones,
    pass the decoder twice in one batch, as they are and with dropout of whole channels.

        L = 1/2 CE(x, y) + 1/2 lambda_u * (U(s1) / 4 + U(s2) / 4 + U(fp) / 2)
        U(z) = sum 1[c >= gamma] valid * ce(z, t) / sum valid

    `t`, `c` and `valid` are the labels, confidences and pixels of the weak view, mixed like the strong view;
    `fp` is not mixed. `x` and the weak view are one batch for batch normalisation, and in the decoder their
    perturbed features are in the same batch; `s1` and `s2` are another batch. The donor is labelled in
    inference mode. The dropout hashes the number of its calls, which is a variable, so that a resumed run
    draws the same channels.

    What differs from the official code is what differs for `FixMatch`. On Cityscapes the paper has a
    threshold of 0 (every label is learnt) and OHEM on the masks, which is not here.

    Args:
        networks: The network; its F is trained.
        feature_dropout: Share of the channels that the perturbed view lacks; the others are scaled by
            `1 / (1 - feature_dropout)`.
        threshold: Confidence gamma that a pseudo label must reach.
        cutmix: Whether a box of a donor image is pasted into each strong view, with probability one half.
        lambda_u: Weight of the loss on unlabelled images.
        **kwargs: Arguments of `HostMethod`: `ignore_index` and `second_head`.

    A batch is a dict as for `FixMatch`, with a second strong view, `strong_2` or `strong_2_parameters`, and
    with CutMix that of the donors, `donor_strong_2` or `donor_strong_2_parameters`, and `boxes_2 (U, 1, 4)`
    int32. `Batches` makes it.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> batch = {"labelled": images, "weak": images, "labels": labels}
    >>> batch["weak_filled"] = np.array([[0, 0, 64, 64], [0, 0, 64, 48]], "int32")
    >>> terms = UniMatch([Network(branch)], cutmix=False).loss_terms(batch)
    >>> sorted(terms)
    ['confident', 'loss', 'perturbed', 'self_training', 'supervised']
    """

    method_name = "unimatch"
    title = "UniMatch"
    Options = UniMatchOptions

    def __init__(self, networks: Sequence[Network], *, feature_dropout: float = 0.5, **kwargs: Any):
        super().__init__(networks, **kwargs)
        self.feature_dropout = feature_dropout
        self.drop_channels = SeededDropout(feature_dropout, (None, 1, 1, None), name="drop_channels")

    @property
    def inputs(self) -> BatchSpec:
        cutmix = {"donor": True, "boxes": OneBox(), "boxes_2": OneBox()} if self.cutmix else {}
        return BatchSpec(unlabelled=True, strong=2, filled=True, **cutmix)

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        *donor, both, strong = super().forward_passes
        return (*donor, both._replace(perturbed=True), strong._replace(views=len(VIEWS)))

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        perturbed = ("perturbed", "perturbed_sub")[: len(self.heads)]
        return [
            *[LossPart("donor", self.label_donor)] * self.cutmix,
            LossPart("labelled", self.labelled, trains, (*self.supervised_reports, *perturbed)),
            LossPart("strong", self.strong, trains, self.learn_reports),
        ]

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss on masks, label the weak view, and compute the loss of its perturbed features."""
        images, weak = labelled_images(batch), ops.cast(batch["weak"], "float32")
        labelled, unlabelled = ops.shape(images)[0], ops.shape(weak)[0]
        perturb = partial(self.drop_channels, training=True)
        logits = self.networks[0].logits(ops.concatenate([images, weak]), self.heads, perturb=perturb)
        both = labelled + unlabelled
        own = _images(logits, 0, labelled)
        target = self.teach(_images(logits, labelled, both), weak)
        terms = self.supervised(own, batch)
        found = self.learn(
            _images(logits, both + labelled, both + both),
            target,
            threshold=self.threshold,
            valid=self._valid("weak", batch),
        )
        terms["loss"] = 0.5 * (terms["loss"] + 0.5 * self.lambda_u * found["loss"])
        for end in ("", "_sub")[: len(self.heads)]:
            terms[f"perturbed{end}"] = found[f"self_training{end}"]
        return terms, self.labelled_context(own["F"]) | named("weak", target)

    def strong(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the mean loss of both strong views, which pass as one batch."""
        targets = [self.mixed(batch, context, number) for number in VIEWS]
        images = ops.concatenate([target.pop("images") for target in targets])
        logits, count = self.networks[0].logits(images, self.heads), ops.shape(batch["weak"])[0]
        found = [
            self.learn(
                _images(logits, place * count, (place + 1) * count),
                target,
                threshold=self.threshold,
                valid=target["valid"],
            )
            for place, target in enumerate(targets)
        ]
        terms = {name: sum(one[name] for one in found) / len(VIEWS) for name in found[0]}
        return terms | {"loss": 0.25 * self.lambda_u * terms["loss"]}, {}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"feature_dropout": self.feature_dropout}


def _images(logits: Logits, begin: Any, end: Any) -> Logits:
    """Logits of some images of a batch."""
    return {head: one[begin:end] for head, one in logits.items()}
