"""AugSeg: the moving average of the network teaches it on strong views mixed by an adaptive CutMix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.views.cutmix_boxes import BetaBox
from usrn_keras.losses import normalised_entropy, pseudo_labels
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
from usrn_keras.methods.moving_average import move_average
from usrn_keras.networks import Branch
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import AugSegOptions

STUDENT, TEACHER = 0, 1  # indices of the networks


@keras.saving.register_keras_serializable(package="usrn_keras")
class AugSeg(HostMethod):
    """AugSeg (CVPR 2023, arXiv 2212.04976).

    A teacher, the exponential moving average (EMA) of the student, labels the weak view `w` of each
    unlabelled image in inference mode. The student learns the labels on the strong view `s`, in one batch
    with the labelled images `x`, after two steps of CutMix. The teacher is used at inference.

        t, c = argmax teacher(w), max softmax(teacher(w))
        L    = CE(x, y) + lambda_u * mean 1[c >= gamma] ce(mix(s), mix(t))

    The mean is over all pixels, kept or not, padding included. The mix has an order `o`, a permutation of the
    batch, and two boxes for each image i:

    1. With probability 1 - a_i, a box of the labelled image o_i and of its mask (confidence 1) is pasted into
       image i. a_i is the mean over the pixels of `(1 - H(p) / log C) max p` of the teacher, its certainty:
       images that it is not certain of get help from masks.
    2. Into every image i as it was before, a box of image o_i as it is after the first step is pasted.

    The teacher follows the student before each step n: `teacher = d teacher + (1 - d) student`, batch
    normalisation included, with `d = min(1 - 1/n, decay)`; so it lacks the last update of the student.

    What differs from the official code: there the teacher equals the student during the first epoch; logits
    are upsampled with half-pixel centres; a_i is computed from the logits at stride 4; the strong view is the
    recipe's (`views.strong = "random_intensity"` for that of the paper). On Cityscapes the paper has OHEM on
    the masks, which is not here.

    Args:
        networks: The student and the teacher, two networks of one architecture. The teacher starts with the
            weights of the student, and its variables are not trainable.
        threshold: Confidence gamma that a pseudo label must reach.
        cutmix: Whether strong views are mixed.
        lambda_u: Weight of the loss on unlabelled images.
        decay: Largest share of the teacher that remains in an update.
        **kwargs: Arguments of `HostMethod`: `ignore_index` and `second_head`.

    A batch is a dict as for `SelfTraining`, and with CutMix `boxes_2` and `boxes (U, 1, 4)` int32, those of
    the first and of the second step, and `draws (U, 2)`, uniform in 0..1. `Batches` makes it.

    Raises:
        ValueError: There are not two networks.

    Example:

    >>> import numpy as np
    >>> from usrn_keras.networks import build_branches
    >>> student, teacher = (build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    ...     for _ in range(2))
    >>> images, labels = np.zeros((2, 64, 64, 3), "uint8"), np.zeros((2, 64, 64), "int32")
    >>> model = AugSeg([Network(student[0]), Network(teacher[0])], cutmix=False)
    >>> terms = model.loss_terms({"labelled": images, "weak": images, "labels": labels})
    >>> sorted(terms)
    ['confident', 'loss', 'self_training', 'supervised']
    """

    method_name = "augseg"
    title = "AugSeg"
    Options = AugSegOptions

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        threshold: float = 0.95,
        cutmix: bool = True,
        lambda_u: float = 1.0,
        decay: float = 0.999,
        **kwargs: Any,
    ):
        if len(networks) != 2:
            raise ValueError(f"`networks` must be student and teacher, received {len(networks)} networks")
        super().__init__(networks, **kwargs)
        self._threshold = threshold
        self.cutmix = cutmix
        self.lambda_u = lambda_u
        self.decay = decay
        for branch in self.networks[TEACHER].branches.values():
            branch.trainable = False
        self.teacher_updates = self.add_weight(
            name="teacher_updates", shape=(), dtype="int32", initializer="zeros", trainable=False
        )
        self._move_teacher(0.0)

    @classmethod
    def from_recipe(cls, options: AugSegOptions, build: Any) -> AugSeg:
        return cls(build.networks(count=2), **build.arguments, **options.model_dump())

    def start_from(self, start: Any) -> None:
        super().start_from(start)
        self._move_teacher(0.0)

    @property
    def inputs(self) -> BatchSpec:
        cutmix = {"boxes": BetaBox(4, 4), "boxes_2": BetaBox(2, 8), "draws": 2} if self.cutmix else {}
        return BatchSpec(unlabelled=True, strong=1, **cutmix)

    @property
    def threshold(self) -> float:
        return self._threshold

    @property
    def inference_network(self) -> Branch:
        return self.networks[TEACHER].F

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        weak = ForwardPass("weak", "unlabelled", self.heads, network=TEACHER, gradient=False)
        return (weak, ForwardPass("labelled and strong", "both", self.heads))

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[STUDENT].trainable_variables
        reports = (*self.supervised_reports, *self.learn_reports)
        return [LossPart("teacher", self.label), LossPart("student", self.learn_views, trains, reports)]

    def label(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Update the teacher, and label the weak view by it in inference mode."""
        done = ops.cast(self.teacher_updates, "float32")
        self._move_teacher(ops.minimum(1.0 - 1.0 / ops.maximum(done, 1.0), self.decay))
        self.teacher_updates.assign(self.teacher_updates + 1)
        images = ops.cast(batch["weak"], "float32")
        with no_gradient():
            logits = self.networks[TEACHER].logits(images, self.heads, training=False)
        confidence = pseudo_labels(logits["F"], None, None)["confidence"]
        certainty = ops.mean((1.0 - normalised_entropy(logits["F"])) * confidence, axis=(1, 2))
        return {}, named("weak", self.teach(logits, images)) | {"certainty": certainty}

    def learn_views(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the loss of the student on masks, and on the teacher's labels of the mixed strong view."""
        images, (_, strong) = labelled_images(batch), unlabelled_images(batch)
        target = {"images": strong, **view_of("weak", context)}
        if self.cutmix:
            masks = {"images": images, **self._masks(batch)}
            target = self._mixed(target, masks, batch, context["certainty"])
        both = ops.concatenate([images, target.pop("images")])
        logits, count = self.networks[STUDENT].logits(both, self.heads), ops.shape(images)[0]
        own = {head: one[:count] for head, one in logits.items()}
        terms = self.supervised(own, batch)
        found = self.learn(
            {head: one[count:] for head, one in logits.items()}, target, threshold=self.threshold
        )
        loss = terms["loss"] + self.lambda_u * found["loss"]
        return terms | found | {"loss": loss}, self.labelled_context(own["F"])

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        return self.labels_at_stride_8(self.networks[TEACHER], images)

    def _mixed(self, target: Target, masks: Target, batch: Batch, certainty: Tensor) -> Target:
        """Paste masks into images that the teacher is uncertain of, then images into each other."""
        size = target["images"].shape[1:3]
        order = ops.cast(ops.argsort(batch["draws"][:, 0]), "int32")
        chosen = ops.mod(order, ops.shape(batch["labels"])[0])
        uncertain = ops.cast(batch["draws"][:, 1], "float32") > certainty
        inside = ops.logical_and(box_mask(batch["boxes_2"], *size), uncertain[:, None, None])
        helped = paste(inside, _taken(masks, chosen), target)
        return paste(box_mask(batch["boxes"], *size), _taken(helped, order), target)

    def _masks(self, batch: Batch) -> Target:
        """Masks as labels of confidence 1; of -1, which no threshold keeps, where a pixel has no class."""

        def known(values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
            return ops.cast(ops.where(valid, values, 0), "int32"), ops.where(valid, 1.0, -1.0)

        labels, confidence = known(batch["labels"], batch["labels"] != self.ignore_index)
        if self.second_head is None:
            return {"labels": labels, "confidence": confidence}
        sublabels, sub_confidence = known(batch["sublabels"], batch["sublabels"] >= 0)
        return {
            "labels": labels,
            "confidence": confidence,
            "own_labels": labels,
            "own_confidence": confidence,
            "open": ops.zeros_like(labels, dtype="bool"),  # no gate decides about a mask
            "sublabels": sublabels,
            "sub_confidence": sub_confidence,
        }

    def _move_teacher(self, decay: Tensor | float) -> None:
        """Set each variable of the teacher to the mean of itself and that of the student."""
        student, teacher = ([*network.branches.values()] for network in self.networks)
        move_average(teacher, student, decay)

    def get_config(self) -> dict[str, Any]:
        own = {"threshold": self.threshold, "cutmix": self.cutmix, "lambda_u": self.lambda_u}
        return super().get_config() | own | {"decay": self.decay}


def _taken(target: Target, places: Tensor) -> Target:
    """Values of other images of the batch."""
    return {name: ops.take(value, places, axis=0) for name, value in target.items()}
