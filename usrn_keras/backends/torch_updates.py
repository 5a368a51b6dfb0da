"""PyTorch: updates of SGD and AdamW on lists of tensors, with few kernels and no read of the device."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import torch

from usrn_keras.optimizers import SGD, AdamW
from usrn_keras.optimizers.learning_rates import fixed_rate, rate_at

Tensor = torch.Tensor
GROUP_BYTES = {"cpu": 2e6, "cuda": 256e6}  # size of the gradients that wait for each other


class MomentumSum:
    """Adds the gradients of each part of a step to the momentum of `SGD`, as the backward pass makes them.

    Gradients wait until they have some size together, and are then added and released. On a CPU that size is
    small: the gradients of a part are never in memory together. On a GPU it is large: some hundred gradients
    are added by three kernels (`torch._foreach_*`).

    Args:
        optimizer: Optimizer whose momentum buffers are changed.
        processes: Number of processes whose buffers are summed at the end of the step; each adds its share of
            what all of them know.
    """

    def __init__(self, optimizer: SGD, processes: int = 1):
        self._optimizer, self._share = optimizer, 1 / processes
        self._started: set[int] = set()
        self._waiting: list[keras.Variable] = []
        self._bytes = 0

    def hook(self, variable: keras.Variable) -> Any:
        """Register a variable of a part; `remove` of the result ends it."""

        def ready(parameter: Tensor) -> None:
            self._waiting.append(variable)
            self._bytes += parameter.grad.nbytes
            if self._bytes > GROUP_BYTES.get(parameter.device.type, 0):
                self.add()

        return variable.value.register_post_accumulate_grad_hook(ready)

    @torch.no_grad()
    def add(self) -> None:
        """Add the gradients that wait, and release them."""
        if not self._waiting:
            return
        parameters = [variable.value for variable in self._waiting]
        buffers = [self._optimizer.momentum_of(variable).value for variable in self._waiting]
        first = [place for place, one in enumerate(parameters) if id(one) not in self._started]
        if first:
            self._started |= {id(parameters[place]) for place in first}
            old, weights = [buffers[place] for place in first], [parameters[place] for place in first]
            torch._foreach_mul_(old, self._optimizer.momentum * self._share)
            torch._foreach_add_(old, weights, alpha=self._optimizer.coupled_weight_decay * self._share)
        torch._foreach_add_(buffers, [parameter.grad for parameter in parameters], alpha=self._share)
        for parameter in parameters:
            parameter.grad = None
        self._waiting.clear()
        self._bytes = 0

    def started(self, variables: Iterable[keras.Variable]) -> list[keras.Variable]:
        """Those of some variables that have had a gradient in this step."""
        return [variable for variable in variables if id(variable.value) in self._started]


def momentum_buffers(optimizer: SGD, variables: Iterable[keras.Variable]) -> list[Tensor]:
    """Momentum buffers of variables, as tensors."""
    return [optimizer.momentum_of(variable).value for variable in variables]


@torch.no_grad()
def move_by_momentum(optimizer: SGD, variables: Sequence[keras.Variable]) -> None:
    """Subtract the learning rate times the momentum from variables, and count the step.

    Args:
        optimizer: Optimizer with the momentum of the variables.
        variables: Variables to move.
    """
    done = completed_steps(optimizer)
    rate = host_rate(optimizer, done)
    by_factor: dict[float, list[keras.Variable]] = {}
    for variable in variables:
        by_factor.setdefault(optimizer.rate_factor(variable), []).append(variable)
    for factor, group in by_factor.items():
        weights = [variable.value for variable in group]
        buffers = [optimizer.momentum_of(variable).value for variable in group]
        torch._foreach_add_(weights, buffers, alpha=-rate * factor)
    _count_step(optimizer, done)


@torch.no_grad()
def move_by_adamw(optimizer: AdamW, gradients: Sequence[Tensor], variables: Sequence[keras.Variable]) -> None:
    """Apply the gradients of a step by `AdamW`, and count the step.

    Args:
        optimizer: Optimizer without options of Keras that change gradients or weights.
        gradients: Gradient of each variable.
        variables: Variables to move.
    """
    done = completed_steps(optimizer)
    _adamw(optimizer, gradients, variables, host_rate(optimizer, done), done)
    _count_step(optimizer, done)


def fused_update(
    optimizer: AdamW, gradients: Sequence[Tensor], variables: Sequence[keras.Variable], learning_rate: Any
) -> None:
    """Apply `AdamW.update_step` to all variables in a dozen calls on lists of tensors.

    Keras has such an update for its Adam, but not for subclasses of it. A dozen calls per variable took a
    seventh of a training step on a CPU.

    Args:
        optimizer: Optimizer with the state of the variables.
        gradients: Gradient of each variable.
        variables: Variables to update.
        learning_rate: Learning rate of this step.
    """
    _adamw(optimizer, gradients, variables, float(learning_rate), int(optimizer.iterations))


AdamW.fused_update = staticmethod(fused_update)


@torch.no_grad()
def _adamw(
    optimizer: AdamW,
    gradients: Sequence[Tensor],
    variables: Sequence[keras.Variable],
    rate: float,
    done: int,
) -> None:
    beta_1, beta_2 = optimizer.beta_1, optimizer.beta_2
    rates = [rate * optimizer.rate_factor(variable) for variable in variables]
    buffers = [optimizer.buffers_of(variable) for variable in variables]
    means, squares = [mean.value for mean, _ in buffers], [square.value for _, square in buffers]
    weights = [variable.value for variable in variables]
    gradients = [gradient.to(weight.dtype) for gradient, weight in zip(gradients, weights, strict=True)]
    decay = optimizer.decoupled_weight_decay
    shrink = [1 - one * decay * optimizer.decays(v) for one, v in zip(rates, variables, strict=True)]
    torch._foreach_mul_(weights, shrink)
    torch._foreach_lerp_(means, gradients, 1 - beta_1)
    torch._foreach_mul_(squares, beta_2)
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta_2)
    sizes = torch._foreach_sqrt(squares)
    torch._foreach_add_(sizes, optimizer.epsilon)
    unbias = (1 - beta_2 ** (done + 1)) ** 0.5 / (1 - beta_1 ** (done + 1))
    torch._foreach_addcdiv_(weights, means, sizes, [-one * unbias for one in rates])


# ---- what the host knows without a read of the device

_read: weakref.WeakKeyDictionary[Any, dict[str, tuple]] = weakref.WeakKeyDictionary()


def completed_steps(optimizer: keras.optimizers.Optimizer) -> int:
    """Number of completed steps; read from the device only if someone else has changed the counter.

    Args:
        optimizer: Optimizer without accumulation of gradients.
    """
    return int(_host_value(optimizer, "steps", optimizer.iterations.value))


def host_rate(optimizer: keras.optimizers.Optimizer, step: int) -> float:
    """Compute the learning rate of a step on the host.

    Args:
        optimizer: Optimizer with a fixed learning rate or a schedule.
        step: Number of the step, from 0.
    """
    fixed = fixed_rate(optimizer)
    if fixed is not None:
        return float(_host_value(optimizer, "rate", fixed.value))
    with keras.device("cpu"):
        return rate_at(optimizer, step)


def _count_step(optimizer: keras.optimizers.Optimizer, done: int) -> None:
    value = optimizer.iterations.value
    value.add_(1)
    _remember(optimizer, "steps", value, done + 1)


def _host_value(optimizer: keras.optimizers.Optimizer, name: str, tensor: Tensor) -> Any:
    """The value of a scalar tensor, as it was when it was read or written last; PyTorch counts changes."""
    known = _read.get(optimizer, {}).get(name)
    if known is None or known[:2] != (tensor.data_ptr(), tensor._version):
        known = _remember(optimizer, name, tensor, tensor.item())
    return known[2]


def _remember(optimizer: keras.optimizers.Optimizer, name: str, tensor: Tensor, value: Any) -> tuple:
    entry = (tensor.data_ptr(), tensor._version, value)
    _read.setdefault(optimizer, {})[name] = entry
    return entry
