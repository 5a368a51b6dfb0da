"""An objective in parts whose gradients are taken one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from usrn_keras.training.sgd import SGD

Part = Callable[[], dict[str, Any]]
"""Computes its terms, scalars by name; `loss` is what it adds to the objective."""


def takes_parts(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer takes in the gradients of each part as they come; else it needs their sum.

    Raises:
        ValueError: It scales the loss, as `keras.Model.compile` makes it do under `mixed_float16`.
    """
    if optimizer.loss_scale_factor or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "the losses of USRN and of its Baseline cannot be scaled (`loss_scale_factor`, or the policy "
            '"mixed_float16"); "mixed_bfloat16" needs no scale'
        )
    return isinstance(optimizer, SGD) and optimizer.takes_parts


def sum_of_parts(terms: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The terms of all parts; `loss` is the sum of theirs.

    Example:

    >>> sum_of_parts([{"loss": 1.0, "a": 2.0}, {"loss": 0.5, "b": 3.0}])
    {'loss': 1.5, 'a': 2.0, 'b': 3.0}
    """
    merged = {name: value for part in terms for name, value in part.items()}
    return merged | {"loss": sum(part["loss"] for part in terms)}
