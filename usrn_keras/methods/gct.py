"""Guided collaborative training (GCT): two networks, and a detector of the flaws of their predictions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import consistency, cross_entropy, sigmoid_ramp
from usrn_keras.losses.flaws import flaw_target, flawless, handled_flaws
from usrn_keras.methods.base import Method
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, labelled_images
from usrn_keras.networks.flaw_detector import detect_flaws, flaw_detector
from usrn_keras.networks.operations import forward_flops
from usrn_keras.networks.seeded import draw_weights
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.optimizers import GroupedOptimizer
from usrn_keras.optimizers.learning_rates import schedule_of
from usrn_keras.recipe.method_options import GCTOptions

BOTH = (0, 1)
SUFFIX = ("", "_2")  # of the terms of each network
BETAS, EPSILON = (0.9, 0.99), 1e-8  # of the detector's optimizer


@keras.saving.register_keras_serializable(package="usrn_keras")
class GCT(Method):
    """Guided collaborative training (ECCV 2020, arXiv 2008.05258).

    Two networks with equal pretrained weights and heads of their own predict `p_1` and `p_2` of all images. A
    flaw detector `D` finds the pixels that a network predicts wrongly. Where a network has the larger flaw,
    it learns the probabilities of the other one; where both have a large flaw, it learns to have none:

        L_i = CE(p_i, y) + correction_weight * mean [h_1 > threshold] [h_2 > threshold] D(x, p_i)^2
              + weight * exp(-5 (1 - t)^2) * mean (p_i - target_i)^2
        target_1 = p_1 where h_1 <= h_2, else p_2, without gradient;  t = min(progress / ramp, 1)
        L_D = detector_weight / 2 * sum over i of mean (D(x, p_i) - flaw_target(p_i, y))^2, labelled images

    `h_i` are the handled flaws of `usrn_keras.losses.flaws.handled_flaws`, above the threshold counted as 1.
    All means are over images and pixels at full size, that of the probabilities over classes too, and CE is
    divided by all pixels, without a class included, as in the official code. Network 1 is used at inference.

    Targets and L_D come from passes of the networks without gradient; then each network has a part of its
    own, in which the detector stays as it is. All gradients are taken before any variable moves. The detector
    has an Adam optimizer of its own, which follows the schedule of the recipe.

    Args:
        networks: Two networks.
        weight: Weight of the consistency after its ramp.
        ramp: Share of training in which it grows.
        threshold: Flaw above which a prediction is taken to be wrong.
        correction_weight: Weight of the flaw correction.
        detector_weight: Weight of the loss of the detector.
        detector_rate: Initial learning rate of the detector.
        detector_width: Number of channels of the first layer of the detector.
        seed: Seed of the detector's weights; None to draw one from the generator of Python, which
            `keras.utils.set_random_seed` seeds.
        **kwargs: Arguments of `Method`: `ignore_index`.

    A batch is a dict as for `SelfTraining`, without a strong view, and with `progress`, the completed share
    of training, a float32 of one element. Images have at least 64 pixels on each side. `Batches` makes it.

    Raises:
        ValueError: There are not two networks, or images are too small for the detector.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> one, two = (build_branches("keras/mobilenet", classes=3, weights="none", width=0.25, seed=[0, number])
    ...     for number in range(2))
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> model = GCT([Network(one[0]), Network(two[0])], detector_width=4)
    >>> batch = {"labelled": images, "weak": images, "labels": labels, "progress": np.float32(0.5)}
    >>> sorted(model.loss_terms(batch))[:4]
    ['consistency', 'consistency_2', 'correction', 'correction_2']
    """

    method_name = "gct"
    title = "GCT"
    Options = GCTOptions
    inputs = BatchSpec(unlabelled=True, progress=True)
    forward_passes = (
        *(ForwardPass("both, targets", "both", ("F",), network, gradient=False) for network in BOTH),
        *(ForwardPass("both", "both", ("F",), network) for network in BOTH),
    )

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        weight: float = 100.0,
        ramp: float = 0.1,
        threshold: float = 0.6,
        correction_weight: float = 1.0,
        detector_weight: float = 10.0,
        detector_rate: float = 1e-4,
        detector_width: int = 64,
        seed: int | None = None,
        **kwargs: Any,
    ):
        if len(networks) != 2:
            raise ValueError(f"`networks` must be two networks, received {len(networks)}")
        super().__init__(networks, **kwargs)
        self.weight = weight
        self.ramp = ramp
        self.flaw_threshold = threshold
        self.correction_weight = correction_weight
        self.detector_weight = detector_weight
        self.detector_rate = detector_rate
        self.detector_width = detector_width
        self.seed = random.randrange(2**31) if seed is None else int(seed)
        branch = self.networks[0].F
        self.detector = flaw_detector(
            branch.classifier.output_shape[-1], width=detector_width, bands=branch.bands
        )
        draw_weights(self.detector, np.random.default_rng(self.seed))

    def other_flops(
        self, batch_labelled: int, batch_unlabelled: int, height: int, width: int
    ) -> dict[str, int]:
        # For each network a pass with the gradient by the weights, and one with that by the predictions.
        passes = 2 * (3 + 2) * (batch_labelled + batch_unlabelled)
        return {"flaw detector": passes * forward_flops(self.detector, height, width)}

    @classmethod
    def from_recipe(cls, options: GCTOptions, build: Any) -> GCT:
        return cls(build.networks(count=2), **build.arguments, **options.arguments())

    def start_from(self, start: Any) -> None:
        """Start both backbones, and the head of network 1, from the Baseline.

        The head of network 2 stays as drawn: equal networks would have equal flaws.
        """
        self.networks[0].copy_weights(start.branch)
        self.networks[1].copy_weights(start.branch, parts=("stem", "tail"))

    def wrap_optimizer(self, optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
        schedule = schedule_of(optimizer)
        if isinstance(schedule, keras.optimizers.schedules.PolynomialDecay):
            config = schedule.get_config() | {"initial_learning_rate": self.detector_rate}
            schedule = keras.optimizers.schedules.PolynomialDecay.from_config(config)
        else:  # a fixed rate, of which 0 trains nothing
            schedule = self.detector_rate if schedule else 0.0
        steps = optimizer.gradient_accumulation_steps
        adam = keras.optimizers.Adam(schedule, *BETAS, EPSILON, gradient_accumulation_steps=steps)
        return self._grouped(GroupedOptimizer({"networks": optimizer, "detector": adam}))

    def compile(self, optimizer: Any = "rmsprop", **kwargs: Any) -> None:
        if isinstance(optimizer, GroupedOptimizer) and not optimizer.built:  # of a saved model
            self._grouped(optimizer)
        super().compile(optimizer=optimizer, **kwargs)

    def _grouped(self, optimizer: GroupedOptimizer) -> GroupedOptimizer:
        optimizer.assign_groups({"detector": self.detector.trainable_variables})
        return optimizer

    def loss_parts(self) -> list[LossPart]:
        parts = [LossPart("detector", self.detect, self.detector.trainable_variables, ("detector",))]
        for number, end in enumerate(SUFFIX):
            trains, learn = self.networks[number].trainable_variables, partial(self.learn, number)
            reports = [name + end for name in ("supervised", "consistency", "correction")]
            parts.append(LossPart(f"network{end}", learn, trains, reports))
        return parts

    def detect(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss of the detector, and the targets of both networks."""
        images, labels = self._images(batch), batch["labels"]
        count, valid = ops.shape(labels)[0], labels != self.ignore_index
        logits, flaws, losses = [], [], []
        for network in self.networks:
            with no_gradient():
                logits.append(ops.stop_gradient(network.logits(images)["F"]))
                probabilities = self._probabilities(logits[-1])
                target = flaw_target(probabilities[:count], labels, valid)
            flaws.append(detect_flaws(self.detector, images, probabilities))
            losses.append(ops.mean(ops.square(flaws[-1][:count] - target)))
        loss = self.detector_weight * sum(losses) / 2
        handled = [handled_flaws(some) for some in flaws]
        large = [some > self.flaw_threshold for some in handled]
        context = {f"logits_{n}": logits[n] for n in BOTH} | {"both_wrong": ops.logical_and(*large)}
        own = flawless(handled, self.flaw_threshold)
        return {"loss": loss, "detector": loss}, context | {f"own_{n}": own[n] for n in BOTH}

    def learn(self, number: int, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss of one network.

        Args:
            number: Index of the network.
            batch: The batch.
            context: The targets.
        """
        images, labels = self._images(batch), batch["labels"]
        logits = self.networks[number].logits(images)["F"]
        own = logits[: ops.shape(labels)[0]]
        pixels = ops.cast(ops.size(labels), "float32")
        supervised = cross_entropy(own, labels, labels != self.ignore_index, pixels)
        flaws = detect_flaws(self.detector, images, self._probabilities(logits))
        correction = ops.mean(ops.where(context["both_wrong"], ops.square(flaws), 0.0))
        before = [self._probabilities(context[f"logits_{n}"]) for n in (number, 1 - number)]
        target = ops.where(context[f"own_{number}"][..., None], *before)
        difference = consistency(self.upsample(logits), target)
        weight = self.weight * sigmoid_ramp(batch["progress"], self.ramp)
        terms = {"supervised": supervised, "consistency": difference, "correction": correction}
        loss = supervised + self.correction_weight * correction + weight * difference
        shown = self.labelled_context(own) if number == 0 else {}
        return {"loss": loss} | {name + SUFFIX[number]: value for name, value in terms.items()}, shown

    def _images(self, batch: Batch) -> Tensor:
        """The labelled images and the weak views of the unlabelled ones, one batch."""
        return ops.concatenate([labelled_images(batch), ops.cast(batch["weak"], "float32")])

    def _probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities at full size, float32."""
        return ops.softmax(self.upsample(logits), axis=-1)

    def get_config(self) -> dict[str, Any]:
        own = ("weight", "ramp", "correction_weight", "detector_weight", "detector_rate", "detector_width")
        own = {name: getattr(self, name) for name in (*own, "seed")} | {"threshold": self.flaw_threshold}
        return super().get_config() | own
