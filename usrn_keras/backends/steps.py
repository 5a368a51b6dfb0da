"""What the training steps of all backends share: parts of an objective, and what becomes of their terms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

Terms = dict[str, Any]


def accepts_partial_gradients(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer takes in the gradients of each part as they come; otherwise it needs their sum.

    Raises:
        ValueError: It scales the loss, as `keras.Model.compile` makes it do under `mixed_float16`.
    """
    if optimizer.loss_scale_factor or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "the losses of a method cannot be scaled (`loss_scale_factor`, or the policy "
            '"mixed_float16"); use "mixed_bfloat16", which needs no scale'
        )
    return bool(getattr(optimizer, "accepts_partial_gradients", False))


def sum_of_terms(terms: Sequence[Terms]) -> Terms:
    """Merge the terms of all parts; `loss` is the sum of theirs.

    Example:

    >>> sum_of_terms([{"loss": 1.0, "a": 2.0}, {"loss": 0.5, "b": 3.0}])
    {'loss': 1.5, 'a': 2.0, 'b': 3.0}
    """
    merged = {name: value for part in terms for name, value in part.items()}
    return merged | {"loss": sum(part["loss"] for part in terms if "loss" in part)}


def last_parts(parts: Sequence[Any]) -> dict[int, int]:
    """The number of the last part that trains each variable, by the `id` of the variable."""
    return {id(variable): number for number, part in enumerate(parts) for variable in part.trains}
