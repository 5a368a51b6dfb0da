"""What a step on PyTorch asks of its device, counted on any device: kernels, constants, reads."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

READS = ("aten._local_scalar_dense.default", "aten.nonzero.default", "aten.masked_select.default")
MAKERS = (torch.as_tensor, torch.tensor, torch.from_numpy)


class KernelCounts:
    """Counts within `counted_kernels`.

    Attributes:
        operators: Number of calls of each ATen operator that is no view: about one kernel each on a GPU.
        constants: Number of tensors made of numbers and arrays of the host, each a copy to the device.
    """

    def __init__(self) -> None:
        self.operators: Counter[str] = Counter()
        self.constants = 0

    @property
    def kernels(self) -> int:
        """Number of operators that are no views."""
        return sum(self.operators.values())

    @property
    def reads(self) -> int:
        """Number of times that the host waits for a value of the device."""
        return sum(self.operators[name] for name in READS)


@contextlib.contextmanager
def counted_kernels() -> Iterator[KernelCounts]:
    """Count what happens in the block.

    Example:

    >>> with counted_kernels() as counts:
    ...     _ = float(torch.ones(3).mean() + torch.tensor(1.0))
    >>> counts.kernels > 3, counts.constants, counts.reads
    (True, 1, 1)
    """
    counts = KernelCounts()

    class Dispatched(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if not operator.is_view:
                counts.operators[str(operator)] += 1
            return operator(*args, **(kwargs or {}))

    class Made(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if function in MAKERS and args and not isinstance(args[0], torch.Tensor):
                counts.constants += 1
            return function(*args, **(kwargs or {}))

    with Dispatched(), Made():
        yield counts
