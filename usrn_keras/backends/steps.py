"""Code that the training steps of all backends share."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Sequence
from typing import Any

import keras

Terms = dict[str, Any]


def accepts_partial_gradients(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether an optimizer accepts the gradients of each loss part separately, instead of their sum.

    Args:
        optimizer: Optimizer of the method.

    Raises:
        ValueError: The optimizer scales the loss, as `keras.Model.compile` configures it for
            `mixed_float16`.
    """
    if optimizer.loss_scale_factor or isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        raise ValueError(
            "methods do not support loss scaling (`loss_scale_factor`, or the policy "
            '"mixed_float16"); use "mixed_bfloat16", which does not need it'
        )
    return bool(getattr(optimizer, "accepts_partial_gradients", False))


def sum_of_terms(terms: Sequence[Terms]) -> Terms:
    """Merge the terms of all parts; `loss` is the sum of their losses.

    Args:
        terms: Terms of each part by name.

    Example:

    >>> sum_of_terms([{"loss": 1.0, "a": 2.0}, {"loss": 0.5, "b": 3.0}])
    {'loss': 1.5, 'a': 2.0, 'b': 3.0}
    """
    merged = {name: value for part in terms for name, value in part.items()}
    return merged | {"loss": sum(part["loss"] for part in terms if "loss" in part)}


def release_memory() -> None:
    """Collect garbage and return freed memory to the system, on systems with glibc.

    Building a network draws, clones and copies weights, and compiling a step takes several times the memory
    of the program. glibc keeps freed memory for the process, which does not need it again.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
