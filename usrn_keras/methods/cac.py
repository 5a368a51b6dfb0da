"""Context-aware consistency (CAC): features of the same place in two crops, against a memory bank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient, run_graph
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import directional_contrast, pseudo_labels
from usrn_keras.methods.crop_features import CropFeatures
from usrn_keras.methods.feature_bank import FeatureBank
from usrn_keras.methods.host_method import HostMethod, Logits, Target, named, view_of
from usrn_keras.methods.loss_part import (
    Batch,
    Context,
    LossPart,
    Tensor,
    labelled_images,
    unlabelled_images,
)
from usrn_keras.networks.projector import projector
from usrn_keras.networks.seeded import draw_weights
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import CACOptions

STRIDE = 8
START = 1 / 16  # share of the training without the contrast
SECOND_CROP = {"pair": "weak", "pair_strong": "strong", "pair_strong_parameters": "strong_parameters"}


@keras.saving.register_keras_serializable(package="usrn_keras")
class CAC(HostMethod):
    """Directional context-aware consistency (CVPR 2021).

    Two crops 1, 2 of each unlabelled image overlap and have colours of their own. Their decoder features are
    pooled to stride 8, projected to half of the channels and scaled to unit length. At every position of the
    overlap, the feature of the less confident crop is drawn to that of the other one, and away from the
    features `b` of a memory bank that have another label:

        l_12 = sum M (log(e^(f1 . f2 / t) + sum e^(f1 . b / t) over labels(b) != y1) - f1 . f2 / t) / sum M
        M    = c2 > threshold and c1 < c2
        L    = CE(x, y) + weight * (l_12 + l_21)            the contrast from 1/16 of the training on

    `y` and `c` are label and confidence of F; the classifier learns nothing from the contrast. The bank has
    the features of both crops of the last steps, `bank_steps` with this one, without gradient.

    With a `second_head` the first crop also learns the corrected labels of its weak view, as in `USRN` at
    stride 8 and from the first step on, since F alone learns no labels of unlabelled images.

    The contrast takes `8 * bank_steps * (U * P)^2 * channels` operations, and the memory of the bank twice,
    three blocks of up to 64 MB and six times the features of a crop: with 8 + 8 crops of 320 pixels, 128
    channels and two steps 52, 123 and 40 MB. The activations of both crops are in memory at a time.

    Args:
        networks: The network; its F is trained.
        batch_unlabelled: Number of unlabelled images in a batch, which gives the size of the bank.
        crop_size: Height and width of a crop in pixels, a multiple of 8.
        weight: Weight of the contrast.
        threshold: Confidence that the more confident crop must exceed, and that a label must reach to teach F
            with a `second_head`.
        temperature: Temperature t of the contrast.
        bank_steps: Number of steps whose features are in the bank, with the current one.
        negatives_by: Labels that select the negatives: those of `F`, or with a `second_head` the corrected
            ones, `gated`.
        **kwargs: Arguments of `HostMethod`: `ignore_index` and `second_head`.

    A batch is a dict as for `SelfTraining`, the weak view being the first crop, with `progress`, the second
    crop, `pair`, with `pair_strong` or `pair_strong_parameters`, and the positions that both show,
    `overlap_1`, `overlap_2 (U, P)` int32 and `overlap_valid (U, P)` bool. `Batches` makes it.

    Raises:
        ValueError: There is more than one network, or `negatives_by` is unknown or needs a `second_head`.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> model = CAC([Network(branch)], batch_unlabelled=8, crop_size=64)
    >>> model.bank.features.shape  # 2 crops of 8 images of the step before, 8 x 8 positions, channels
    (16, 64, 128)
    """

    method_name = "cac"
    title = "CAC"
    Options = CACOptions

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        batch_unlabelled: int,
        crop_size: int,
        weight: float = 0.1,
        threshold: float = 0.75,
        temperature: float = 0.1,
        bank_steps: int = 2,
        negatives_by: str = "F",
        **kwargs: Any,
    ):
        if len(networks) != 1:
            raise ValueError(f"`networks` must be one network, received {len(networks)}")
        super().__init__(networks, **kwargs)
        allowed = ("F",) if self.second_head is None else ("F", "gated")
        if negatives_by not in allowed:
            raise ValueError(f"`negatives_by` must be one of {', '.join(allowed)}, received {negatives_by!r}")
        self.batch_unlabelled = batch_unlabelled
        self.crop_size = crop_size
        self.weight = weight
        self._threshold = threshold
        self.temperature = temperature
        self.bank_steps = bank_steps
        self.negatives_by = negatives_by
        channels = self.networks[0].F.decoder.output_shape[-1]
        self.projector = projector(channels, channels // 2)
        crops = 2 * batch_unlabelled * (bank_steps - 1)  # this step's are there anyway
        self.bank = FeatureBank(crops, (crop_size // STRIDE) ** 2, channels // 2)

    @classmethod
    def from_recipe(cls, options: CACOptions, build: Any) -> CAC:
        networks, recipe = build.networks(), build.recipe
        sizes = {
            "batch_unlabelled": recipe.training.batch_unlabelled,
            "crop_size": recipe.views.crop_size,
        }
        method = cls(networks, **sizes, **build.arguments, **options.arguments())
        # The generator of a second network's heads, which this method does not have.
        draw_weights(method.projector, np.random.default_rng([recipe.training.seed, len(networks)]))
        return method

    @property
    def inputs(self) -> BatchSpec:
        return BatchSpec(unlabelled=True, strong=1, pair=True, progress=True)

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        weak = ForwardPass("weak", "unlabelled", self.heads, gradient=False, pooled=True)
        return (
            *[weak] * (self.second_head is not None),
            ForwardPass("labelled", "labelled", self.heads),
            ForwardPass("first crop", "unlabelled", self.heads, pooled=True),
            ForwardPass("second crop", "unlabelled", self.second_crop_heads, pooled=True),
        )

    @property
    def second_crop_heads(self) -> tuple[str, ...]:
        """Branches of the second crop, which no label teaches."""
        return self.heads if self.negatives_by == "gated" else ("F",)

    def other_flops(
        self, batch_labelled: int, batch_unlabelled: int, height: int, width: int
    ) -> dict[str, int]:
        pixels = batch_unlabelled * (height // STRIDE) * (width // STRIDE)
        kernels = sum(math.prod(kernel.shape) for kernel in self.projector.trainable_weights[::2])
        channels = self.projector.output_shape[-1]
        # The similarities of the crop that learns with the bank, and the mean of the bank, its gradient.
        contrast = 2 * 2 * pixels * (2 * pixels * self.bank_steps) * channels
        return {"projector": 2 * 3 * 2 * pixels * kernels, "contrast": contrast}

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        reports = ("contrast", "positives", *(self.learn_reports if self.second_head is not None else ()))
        crops = [*trains, *self.projector.trainable_variables]
        return [
            *[LossPart("weak", self.label)] * (self.second_head is not None),
            LossPart("labelled", self.labelled, trains, self.supervised_reports),
            LossPart("crops", self.crops, crops, reports),
        ]

    def label(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Label the weak view of the first crop without gradient, at stride 8."""
        with no_gradient():
            logits = self.networks[0].logits(ops.cast(batch["weak"], "float32"), self.heads, pooled=True)
        return {}, named("weak", self.teach(logits, logits["F"]))

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the cross entropy of the labelled images."""
        logits = self.networks[0].logits(labelled_images(batch), self.heads)
        return self.supervised(logits, batch), self.labelled_context(logits["F"])

    def crops(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the contrast of both crops and, with a `second_head`, the loss of the first on labels."""
        second_crop = {new: batch[name] for name, new in SECOND_CROP.items() if name in batch}
        images_1, images_2 = (unlabelled_images(one)[1] for one in (batch, second_crop))
        first, logits = self._crop(images_1, self.heads)
        second, _ = self._crop(images_2, self.second_crop_heads)
        contrast, positives = self._contrast(first, second, batch)
        started = ops.cast(batch["progress"] >= START, "float32")
        terms = {"loss": self.weight * started * contrast, "contrast": contrast, "positives": positives}
        if self.second_head is None:
            return terms, {}
        learnt = self.learn(logits, view_of("weak", context), threshold=self.threshold)
        return learnt | terms | {"loss": learnt["loss"] + terms["loss"]}, {}

    def _crop(self, images: Tensor, heads: Sequence[str]) -> tuple[CropFeatures, Logits]:
        """The features and labels of a crop, and its logits at stride 8."""
        features = self.networks[0].features(images, heads, pooled=True)
        logits = self.networks[0].classify(features)
        projected = run_graph(self.projector, features["F"], training=True)
        projected = ops.normalize(ops.cast(projected, "float32"), axis=-1, epsilon=1e-12)
        found = self._selection(logits)
        positions = projected.shape[1] * projected.shape[2]
        return CropFeatures(
            ops.reshape(projected, (-1, positions, projected.shape[-1])),
            ops.reshape(found["labels"], (-1, positions)),
            ops.reshape(found["own_confidence"], (-1, positions)),
        ), logits

    def _selection(self, logits: Logits) -> Target:
        """The labels that select the negatives."""
        if self.negatives_by == "gated":
            return pseudo_labels(logits["F"], logits["F_sub"], self._parents, gate=self.second_head.gate)
        return pseudo_labels(logits["F"], None, None)

    def _contrast(self, first: CropFeatures, second: CropFeatures, batch: Batch) -> tuple[Tensor, Tensor]:
        """The sum of both directions, and the share of the overlap with a positive in one of them."""
        bank, bank_labels = self.bank.push(
            ops.concatenate([first.features, second.features]), ops.concatenate([first.labels, second.labels])
        )
        one, two = first.at(batch["overlap_1"]), second.at(batch["overlap_2"])
        # At each position one crop is the less confident one, so a single pass has both directions.
        first_learns = one.confidence < two.confidence
        anchors, others = one.where(first_learns, two), two.where(first_learns, one)
        sure = ops.logical_and(others.confidence > self.threshold, anchors.confidence < others.confidence)
        sure = ops.logical_and(sure, batch["overlap_valid"])
        weights, count = 0.0, 0.0
        for learns in (first_learns, ops.logical_not(first_learns)):
            mask = ops.cast(ops.logical_and(sure, learns), "float32")
            weights = weights + mask / ops.maximum(ops.sum(mask), 1.0)
            count = count + ops.sum(mask)
        contrast = directional_contrast(
            anchors.rows,
            others.rows,
            ops.reshape(anchors.labels, (-1,)),
            ops.reshape(weights, (-1,)),
            bank,
            bank_labels,
            temperature=self.temperature,
        )
        return contrast, count / ops.maximum(ops.sum(ops.cast(batch["overlap_valid"], "float32")), 1.0)

    def get_config(self) -> dict[str, Any]:
        names = ("batch_unlabelled", "crop_size", "weight", "threshold", "temperature", "bank_steps")
        own = {name: getattr(self, name) for name in (*names, "negatives_by")}
        return super().get_config() | own
