"""PyTorch: constants of a training step, copied to the device once.

`keras.ops` copies every Python number that it receives from the host to the device, at each call: about a
hundred copies in a step, each of which waits for the kernels before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

Tensor = torch.Tensor
LARGEST_BYTES = 8192  # of an array that is kept, such as the class of each subclass
MOST_CONSTANTS = 1024
MAKERS = (torch.as_tensor, torch.tensor)

_known: dict[tuple, Tensor] = {}


class CachedConstants(TorchFunctionMode):
    """Within this context, `torch.as_tensor` returns one tensor for equal numbers, lists or small arrays.

    The tensors must not be changed in place: one that was is made again.

    Example:

    >>> with CachedConstants():
    ...     torch.as_tensor(0.5) is torch.as_tensor(0.5), torch.as_tensor(1) is torch.as_tensor(1.0)
    (True, False)
    """

    def __torch_function__(
        self, function: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in MAKERS and len(args) == 1 and kwargs.keys() <= {"dtype", "device"}:
            values = _hashable(args[0])
            if values is not None:
                key = (values, kwargs.get("dtype"), str(kwargs.get("device")))
                return _known_or_made(key, args[0], kwargs)
        return function(*args, **kwargs)


def constant(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the tensor of a constant, copied to the device at the first call.

    Args:
        values: Number, list of numbers, or small array.
        dtype: Data type of the tensor.
        device: Device of the tensor.
    """
    if torch.compiler.is_compiling():  # also while a network is exported
        return torch.as_tensor(values, dtype=dtype, device=device)
    with CachedConstants():
        return torch.as_tensor(values, dtype=dtype, device=device)


def _hashable(values: Any) -> tuple | None:
    """A key of numbers that equal numbers of the same type have; None for what is not kept."""
    if isinstance(values, (bool, int, float)):
        return type(values), repr(values)  # 0.0 equals -0.0, and True equals 1
    if isinstance(values, np.ndarray) and values.nbytes <= LARGEST_BYTES:
        return values.dtype.str, values.shape, values.tobytes()
    if isinstance(values, (list, tuple)) and _are_numbers(values):
        return type(values), repr(values)
    return None


def _are_numbers(values: Sequence) -> bool:
    return len(values) <= LARGEST_BYTES // 8 and all(isinstance(one, (bool, int, float)) for one in values)


def _known_or_made(key: tuple, values: Any, kwargs: dict[str, Any]) -> Tensor:
    found = _known.get(key)
    if found is not None and found._version == 0:
        return found
    if isinstance(values, np.ndarray):
        values = values.copy()  # a tensor on a CPU would share the memory of the caller
    made = torch.as_tensor(values, **kwargs)
    if type(made) is Tensor:  # not one of a program that is being traced
        if len(_known) >= MOST_CONSTANTS:
            _known.clear()
        _known[key] = made
    return made
