"""What a method is made of: parts of an objective, and what they read of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from usrn_keras.strong_view import strong_view

Tensor = Any
Batch = dict[str, Tensor]
Context = dict[str, Tensor]


@dataclass(frozen=True)
class LossPart:
    """A part of the objective whose gradients are taken by themselves.

    A step computes the parts in order, the activations of one part in memory at a time. All gradients are
    taken at one point, then all variables move.

    Args:
        name: Name of the part.
        compute: Function `(batch, context) -> (terms, context)`. The terms are float32 scalars; `loss` is
            added to the objective. The context holds tensors that later parts read, without gradient.
        trains: Variables whose gradients are taken; `()` for a part without gradient.
        reports: Names of the terms, beside `loss`, whose means over an epoch `fit` shows.
    """

    name: str
    compute: Callable[[Batch, Context], tuple[dict[str, Tensor], Context]]
    trains: Sequence[keras.Variable] = ()
    reports: Sequence[str] = ()


@dataclass(frozen=True)
class BatchSpec:
    """What a batch must hold beside `labelled` images and their `labels`.

    Args:
        unlabelled: Whether it holds the weak view of unlabelled images, `weak`.
        strong: Number of strong views of the unlabelled images.
        sublabels: Whether it holds the subclass of each labelled pixel, `sublabels`.
        progress: Whether it holds `progress`, the share of the training that is done, a float32 scalar.
    """

    unlabelled: bool = False
    strong: int = 0
    sublabels: bool = False
    progress: bool = False


def labelled_images(batch: Batch) -> Tensor:
    """The labelled images of a batch as float32, jittered where the batch says how."""
    images = ops.cast(batch["labelled"], "float32")
    if "labelled_parameters" in batch:
        images = strong_view(images, batch["labelled_parameters"])
    return images


def unlabelled_images(batch: Batch) -> tuple[Tensor, Tensor]:
    """The weak and the strong view of the unlabelled images of a batch, float32.

    The strong view is `strong` if the batch has it, or is computed here from `strong_parameters`; without
    both it is the weak one.
    """
    weak = ops.cast(batch["weak"], "float32")
    if "strong_parameters" in batch:
        return weak, strong_view(weak, batch["strong_parameters"])
    return weak, ops.cast(batch.get("strong", batch["weak"]), "float32")


def unique(variables: Iterable[keras.Variable]) -> list[keras.Variable]:
    """The variables in order, each once."""
    return list({id(variable): variable for variable in variables}.values())
