"""Base of the methods that USRN can be put on: how they learn masks, make labels, and learn labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from usrn_keras.backends import no_gradient
from usrn_keras.losses import (
    cross_entropy,
    normalised_entropy,
    pseudo_labels,
    supervised_losses,
    upsampled_corrected_labels,
    upsampled_labels,
)
from usrn_keras.methods.base import Method
from usrn_keras.methods.loss_part import Batch, Tensor
from usrn_keras.methods.pseudo_label_method import validate_parents
from usrn_keras.methods.second_head import SecondHead
from usrn_keras.networks.two_branch import Head, Network

Logits = dict[Head, Tensor]
Target = dict[str, Tensor]


class HostMethod(Method):
    """A method of one or several networks that make labels for each other's views.

    A host calls `supervised` for the loss on masks, `teach` for the labels of a view, and `learn` for the
    loss on labels, and passes what they return without looking into it. With a `second_head` these functions
    train F_sub of every network too, and correct the labels: USRN on top of the host, `training.with_usrn`.

    Args:
        networks: Networks; with a `second_head` each has an F_sub.
        second_head: Settings of USRN on top, or their config; None for the host alone.
        ignore_index: Label of pixels without a class.
        **kwargs: Arguments of `keras.Model`.

    Raises:
        ValueError: The networks do not match the `second_head`.
    """

    makes_pseudo_labels: ClassVar[bool] = True

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        second_head: SecondHead | Mapping[str, Any] | None = None,
        ignore_index: int = 255,
        **kwargs: Any,
    ):
        super().__init__(networks, ignore_index=ignore_index, **kwargs)
        if isinstance(second_head, Mapping):
            second_head = SecondHead(**second_head)
        self.second_head = second_head
        for number, network in enumerate(self.networks):
            if (network.F_sub is not None) != (second_head is not None):
                raise ValueError(
                    f"every network must have an F_sub with `second_head` and none without, received network "
                    f"{number} {'without' if network.F_sub is None else 'with'} F_sub"
                )
            if second_head is not None:
                validate_parents(second_head.parents, *network)

    # ---- what a host calls

    @property
    def heads(self) -> tuple[Head, ...]:
        """Branches of each network: F, and with a `second_head` F_sub."""
        return ("F",) if self.second_head is None else ("F", "F_sub")

    def supervised(self, logits: Logits, batch: Batch) -> dict[str, Tensor]:
        """Compute the loss on masks: `loss`, `supervised` and, with a `second_head`, `supervised_sub`.

        Args:
            logits: Logits of the labelled images by branch, at a stride.
            batch: The batch, with `labels` and, with a `second_head`, `sublabels`.
        """
        return supervised_losses(
            logits["F"],
            logits.get("F_sub"),
            batch["labels"],
            batch.get("sublabels"),
            lambda_sub=1.0 if self.second_head is None else self.second_head.lambda_sub,
            ignore_index=self.ignore_index,
        )

    def teach(self, logits: Logits, images: Tensor) -> Target:
        """Compute the labels of a view for `learn`, without gradient.

        All values are `(batch, height, width)`, so CutMix pastes them alike.

        Args:
            logits: Logits of the view by branch, at a stride.
            images: Images of the view, `(batch, height, width, bands)`; read for their size alone.

        Returns:
            `labels` and `confidence`, and with a `second_head` the other tensors of
            `usrn_keras.losses.pseudo_labels`.
        """
        factor = images.shape[1] // logits["F"].shape[1]
        with no_gradient():
            if self.second_head is None:
                return upsampled_labels(logits["F"], factor)
            gate = self.second_head.gate
            return upsampled_corrected_labels(logits["F"], logits["F_sub"], self._parents, factor, gate=gate)

    def learn(
        self, logits: Logits, target: Target, *, threshold: float | None = None, valid: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a view on labels: the sum over the kept pixels, divided by the valid pixels.

        Args:
            logits: Logits of the view by branch, at a stride.
            target: Labels of the view, see `teach`.
            threshold: Confidence that a label of F must reach; None to keep every label.
            valid: Pixels that count, `(batch, height, width)` bool; None for all.

        Returns:
            float32 scalars `loss`, `self_training` and `confident` (share of the valid pixels that F learns),
            and with a `second_head` `self_training_sub`, `confident_sub`, `gate_open`, `gate_dropped` and
            `label_overridden`, see `usrn_keras.losses.usrn_losses`.
        """
        every = ops.ones_like(target["labels"], dtype="bool")
        valid = every if valid is None else valid
        pixels = ops.maximum(ops.sum(ops.cast(valid, "float32")), 1.0)

        def share(mask: Tensor) -> Tensor:
            return ops.sum(ops.cast(ops.logical_and(mask, valid), "float32")) / pixels

        def confident(confidence: Tensor) -> Tensor:
            return every if threshold is None else confidence >= threshold

        kept = ops.logical_and(confident(target["confidence"]), valid)
        if self.second_head is not None:
            kept = ops.logical_and(kept, self._agreed(target))
        loss = cross_entropy(logits["F"], target["labels"], kept, pixels)
        terms = {"loss": loss, "self_training": loss, "confident": share(kept)}
        if self.second_head is None:
            return terms
        kept_sub = ops.logical_and(target["sub_confidence"] > self.second_head.threshold, valid)
        sub = cross_entropy(logits["F_sub"], target["sublabels"], kept_sub, pixels)
        dropped = ops.logical_and(confident(target["own_confidence"]), ops.logical_not(kept))
        other = target["labels"] != target["own_labels"]
        return terms | {
            "loss": loss + self.second_head.lambda_sub * sub,
            "self_training_sub": sub,
            "confident_sub": share(kept_sub),
            "gate_open": share(target["open"]),
            "gate_dropped": share(dropped),
            "label_overridden": share(ops.logical_and(kept, other)),
        }

    @property
    def supervised_reports(self) -> tuple[str, ...]:
        """Names of the terms of `supervised` that `fit` shows."""
        return ("supervised", "supervised_sub")[: len(self.heads)]

    @property
    def learn_reports(self) -> tuple[str, ...]:
        """Names of the terms of `learn` that `fit` shows."""
        sub = ("self_training_sub", "confident_sub", "gate_open")
        return ("self_training", "confident", *(sub if self.second_head is not None else ()))

    # ---- what other modules call

    @property
    def batch_keys(self) -> list[str]:
        keys = super().batch_keys
        return keys if self.second_head is None else list(dict.fromkeys([*keys, "sublabels"]))

    @property
    def sub_threshold(self) -> float:
        return self.threshold if self.second_head is None else self.second_head.threshold

    def pseudo_labels(self, images: Tensor) -> dict[str, Tensor]:
        return self.labels_at_stride_8(self.networks[0], images)

    def labels_at_stride_8(self, network: Network, images: Tensor) -> dict[str, Tensor]:
        """Compute the labels of a network as `Method.pseudo_labels` describes them.

        Args:
            network: The network that makes the labels.
            images: Images in 0..255, shape `(batch, height, width, bands)`.
        """
        # Pooled logits are those of the upsampled map at the centres of the cells of stride 8.
        logits = network.logits(images, self.heads, pooled=True, training=False)
        if self.second_head is None:
            return pseudo_labels(logits["F"], None, None) | {"entropy": normalised_entropy(logits["F"])}
        found = pseudo_labels(logits["F"], logits["F_sub"], self._parents, gate=self.second_head.gate)
        kept = self._agreed(found)
        return found | {
            "confidence": ops.where(kept, found["confidence"], 0.0),
            "entropy": normalised_entropy(logits["F"]),
            "sub_labels": ops.take(ops.convert_to_tensor(self._parents), found["sublabels"]),
            "sub_entropy": normalised_entropy(logits["F_sub"]),
        }

    def start_from(self, start: Any) -> None:
        super().start_from(start)
        self.start_second_heads(start)

    def start_second_heads(self, start: Any) -> None:
        """Set the classifier of F_sub of network 1 to the cluster centers if `sub_head` says so.

        Args:
            start: See `Method.start_from`.
        """
        if self.second_head is not None and self.second_head.sub_head == "centroids":
            self.networks[0].set_sub_classifier(*start.centroid_classifier())

    def _agreed(self, target: Target) -> Tensor:
        """Pixels whose corrected label may teach F."""
        # The gate `stop` has a confidence of 0 where it is closed.
        kept = target["confidence"] > 0
        if self.second_head.on_disagreement == "override":
            return kept
        return ops.logical_and(kept, target["labels"] == target["own_labels"])

    @property
    def _parents(self) -> np.ndarray:
        return np.array(self.second_head.parents, dtype="int32")

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config if self.second_head is None else config | {"second_head": self.second_head.get_config()}


def named(view: str, target: Target) -> dict[str, Tensor]:
    """Put the name of a view before the names of its labels, for the context of a step.

    Example:

    >>> named("weak", {"labels": 1}), view_of("weak", {"weak_labels": 1, "donor_labels": 2})
    ({'weak_labels': 1}, {'labels': 1})
    """
    return {f"{view}_{name}": value for name, value in target.items()}


def view_of(view: str, context: dict[str, Tensor]) -> Target:
    """Take the labels of a view from the context of a step, see `named`."""
    start = f"{view}_"
    return {name.removeprefix(start): value for name, value in context.items() if name.startswith(start)}
