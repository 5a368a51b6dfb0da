"""Parts of an objective, and the images of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from usrn_keras.networks.two_branch import BackboneFeatures
from usrn_keras.strong_view import strong_view

Tensor = Any
Batch = dict[str, Tensor]
Context = dict[str, Tensor]


@dataclass(frozen=True)
class LossPart:
    """A part of the objective with separate gradients.

    A step computes the parts in order; only the activations of one part are in memory at a time. All
    gradients are taken before any variable is updated.

    Args:
        name: Name of the part.
        compute: Function `(batch, context) -> (terms, context)`. The terms are float32 scalars; `loss` is
            added to the objective. The context passes tensors without gradient to later parts.
        trains: Variables whose gradients are computed; `()` for a part without gradient.
        reports: Names of the terms, in addition to `loss`, whose epoch means are shown by `fit`.
    """

    name: str
    compute: Callable[[Batch, Context], tuple[dict[str, Tensor], Context]]
    trains: Sequence[keras.Variable] = ()
    reports: Sequence[str] = ()


def labelled_images(batch: Batch) -> Tensor | BackboneFeatures:
    """Return the labelled images of a batch as float32, jittered if the batch has parameters.

    A batch of `FeatureBatches` has the features of a frozen backbone in their place.
    """
    if "labelled_low" in batch:
        return _features("labelled", batch)
    return _jittered("labelled", batch)


def _features(name: str, batch: Batch) -> BackboneFeatures:
    """Return the features of a view as float32."""
    return BackboneFeatures(*(ops.cast(batch[f"{name}_{level}"], "float32") for level in ("low", "high")))


def pseudo_images(batch: Batch) -> Tensor:
    """Return the images with pseudo masks of a batch as float32, jittered if the batch has parameters."""
    return _jittered("pseudo", batch)


def _jittered(name: str, batch: Batch) -> Tensor:
    images = ops.cast(batch[name], "float32")
    parameters = f"{name}_parameters"
    return strong_view(images, batch[parameters]) if parameters in batch else images


def unlabelled_images(
    batch: Batch, *, donor: bool = False, number: int = 1
) -> tuple[Tensor | BackboneFeatures, Tensor | BackboneFeatures]:
    """Return the weak and a strong view of the unlabelled images of a batch, float32.

    The strong view is `strong` if the batch has it, or is computed from `strong_parameters`; without both it
    is the weak view. That of features is the weak one times `strong_low` and `strong_high`, which drop
    channels.

    Args:
        batch: The batch.
        donor: Whether to return the views of the donor images: `donor`, and `donor_strong` or
            `donor_strong_parameters`.
        number: Number of the strong view: 1, or 2 for `strong_2` or `strong_2_parameters`.
    """
    if "weak_low" in batch:
        weak = _features("weak", batch)
        if "strong_low" not in batch:
            return weak, weak
        factors = _features("strong", batch)
        return weak, BackboneFeatures(weak.low * factors.low, weak.high * factors.high)
    weak_name, strong_name = ("donor", "donor_strong") if donor else ("weak", "strong")
    strong_name = strong_name if number == 1 else f"{strong_name}_{number}"
    weak = ops.cast(batch[weak_name], "float32")
    if f"{strong_name}_parameters" in batch:
        return weak, strong_view(weak, batch[f"{strong_name}_parameters"])
    return weak, ops.cast(batch.get(strong_name, batch[weak_name]), "float32")


def unique(variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """Remove duplicate variables, keeping their order."""
    return list({id(variable): variable for variable in variables}.values())
