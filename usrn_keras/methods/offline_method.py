"""Base of the methods that learn from pseudo masks on disk, written by a labelling stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.losses import cross_entropy
from usrn_keras.methods.host_method import HostMethod, Logits
from usrn_keras.methods.loss_part import Batch, Context, LossPart, Tensor, labelled_images, pseudo_images
from usrn_keras.methods.second_head import SecondHead
from usrn_keras.networks.two_branch import ForwardPass, Network
from usrn_keras.recipe.method_options import MethodOptions
from usrn_keras.recipe.schema import Recipe
from usrn_keras.recipe.stage_plan import Label, Train


class OfflineMethod(HostMethod):
    """Train on labelled images and, as a second stream, on unlabelled images with pseudo masks.

        L = CE(F(x_l), y) + CE(F(x_u), y_pseudo)

    Each `CE` is the mean over the pixels with a label, and each stream is a batch of its own for batch
    normalisation. The pseudo masks do not change while the network is trained: they are files of a `Label`
    stage. With a `second_head`, F_sub learns sublabels and pseudo sublabels alike.

    A subclass names its stages, see `rounds`.

    Args:
        networks: The network.
        pseudo: Whether there are pseudo masks; without, the network learns from the labelled images alone.
        second_head: Settings of USRN on top, or their config; None for the host alone.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    A batch is a dict of `labelled` and `labels` as for `Supervised`, and of `pseudo (U, height, width,
    bands)` in 0..255, and `pseudo_labels (U, height, width)` int; `pseudo_parameters`, if present, jitters
    the colours. With a `second_head`: `sublabels` and `pseudo_sublabels`, -1 where there is none.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        pseudo: bool = True,
        second_head: SecondHead | Mapping[str, Any] | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        super().__init__(networks, second_head=second_head, ignore_index=ignore_index, **kwargs)
        self.pseudo = pseudo

    @classmethod
    def from_recipe(cls, options: MethodOptions | None, build: Any) -> OfflineMethod:
        return cls(build.networks(), pseudo=build.pseudo, **build.arguments)

    @property
    def inputs(self) -> BatchSpec:
        return BatchSpec(pseudo=self.pseudo)

    @property
    def batch_keys(self) -> list[str]:
        keys = super().batch_keys
        return [*keys, "pseudo_sublabels"] if self.pseudo and self.second_head is not None else keys

    @property
    def forward_passes(self) -> tuple[ForwardPass, ...]:
        passes = (
            ForwardPass("labelled", "labelled", self.heads),
            ForwardPass("pseudo", "unlabelled", self.heads),
        )
        return passes[: 1 + self.pseudo]

    def loss_parts(self) -> list[LossPart]:
        trains = self.networks[0].trainable_variables
        reports = ("pseudo", "pseudo_sub")[: len(self.heads)]
        parts = [
            LossPart("labelled", self.labelled, trains, self.supervised_reports),
            LossPart("pseudo", self.pseudo_masks, trains, reports),
        ]
        return parts[: 1 + self.pseudo]

    def labelled(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the cross entropy of the labelled images."""
        logits = self.networks[0].logits(labelled_images(batch), self.heads)
        return self.supervised(logits, batch), self.labelled_context(logits["F"])

    def pseudo_masks(self, batch: Batch, context: Context) -> tuple[dict[str, Tensor], Context]:
        """Compute the cross entropy of the images with pseudo masks."""
        logits = self.networks[0].logits(pseudo_images(batch), self.heads)
        return self.pseudo_terms(logits, batch), {}

    def pseudo_terms(self, logits: Logits, batch: Batch) -> dict[str, Tensor]:
        """Compute the terms of the pseudo masks: `loss`, `pseudo` and, with a `second_head`, `pseudo_sub`.

        Args:
            logits: Logits of the images with pseudo masks by branch, at a stride.
            batch: The batch.
        """
        labels = batch["pseudo_labels"]
        loss = cross_entropy(logits["F"], labels, labels != self.ignore_index)
        if self.second_head is None:
            return {"loss": loss, "pseudo": loss}
        # Labels and sublabels are selected separately: a pixel may have one of them alone.
        sublabels = batch["pseudo_sublabels"]
        sub = cross_entropy(logits["F_sub"], sublabels, sublabels >= 0)
        return {"loss": loss + self.second_head.lambda_sub * sub, "pseudo": loss, "pseudo_sub": sub}

    @classmethod
    def rounds(
        cls, recipe: Recipe, first: Train, labels: Sequence[Label], *, continues: bool
    ) -> list[Label | Train]:
        """Return a labelling stage and a training stage for each round.

        Args:
            recipe: The recipe of the run.
            first: Training stage before the first round.
            labels: Labelling stage of each round; the teacher is filled in: the training stage before it.
            continues: Whether a round continues the training before it, with a longer schedule; without, it
                trains from the start as `training.start` says.
        """
        training = recipe.training
        title = f"{cls.title} + USRN" if training.with_usrn else cls.title
        stages: list[Label | Train] = []
        for number, label in enumerate(labels, start=1):
            last = number == len(labels)
            begin = first.steps if continues else 0
            stages.append(replace(label, teacher=first.name))
            first = Train(
                name=cls.method_name if last else f"{cls.method_name}_{number}",
                title=title if last else f"{title}, round {number}",
                method=training.method,
                steps=begin + training.usrn_steps,
                steps_key="training.usrn_steps",
                learning_rate=training.usrn_learning_rate or training.learning_rate,
                start=first.name if continues else "baseline" if training.start == "baseline" else "",
                begin=begin,
                continues=continues,
                labels=label.name,
            )
            stages.append(first)
        return stages

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"pseudo": self.pseudo}
