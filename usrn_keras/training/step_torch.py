"""The training step on PyTorch: eager autograd, gradients taken in as they come."""

from __future__ import annotations

from typing import Any

import keras
import torch

from usrn_keras.backends.freed import give_back_freed_memory
from usrn_keras.backends.layout_torch import in_native_layout
from usrn_keras.training.parts import sum_of_parts, takes_parts


class TrainStep:
    """Mixin: Keras' `train_step(data)` from `loss_parts(batch)`."""

    def train_step(self, data: Any) -> dict[str, Any]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        return (_lean_step if takes_parts(self.optimizer) else _plain_step)(self, batch)


def _lean_step(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Each gradient goes into its momentum buffer as soon as it is known, and is forgotten."""
    optimizer, seen = model.optimizer, set()

    def take_in(variable: keras.Variable):
        buffer = optimizer.momentum_of(variable).value

        @torch.no_grad()
        def hook(parameter: torch.Tensor) -> None:
            if id(parameter) not in seen:
                seen.add(id(parameter))
                buffer.mul_(optimizer.momentum).add_(parameter, alpha=optimizer.coupled_weight_decay)
            buffer.add_(parameter.grad)
            parameter.grad = None

        return variable.value.register_post_accumulate_grad_hook(hook)

    hooks = [take_in(variable) for variable in model.trainable_variables]
    try:
        terms = [_with_gradient(part) for part in model.loss_parts(batch)]
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        rate = float(optimizer.learning_rate)
        for variable in model.trainable_variables:
            if id(variable.value) in seen:
                buffer = optimizer.momentum_of(variable).value
                variable.value.add_(buffer, alpha=-rate * optimizer.rate_factor(variable))
        optimizer.iterations.assign_add(1)
    return sum_of_parts(terms)


def _plain_step(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Any optimizer of Keras: the gradients are summed, then applied."""
    model.zero_grad()
    terms = [_with_gradient(part) for part in model.loss_parts(batch)]
    # The terms of the objective may not know a variable: F_sub without MSL and SST.
    known = [variable for variable in model.trainable_variables if variable.value.grad is not None]
    with torch.no_grad():
        model.optimizer.apply([variable.value.grad for variable in known], known)
    return sum_of_parts(terms)


def _with_gradient(part: Any) -> dict[str, Any]:
    terms = part()
    terms["loss"].backward()
    return {name: term.detach() for name, term in terms.items()}


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model."""

    def __init__(self, model: Any):
        self._model = model
        in_native_layout(model)
        give_back_freed_memory()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        tensors = {key: keras.ops.convert_to_tensor(value) for key, value in batch.items()}
        return self._model.train_step(tensors)

    def sync(self) -> None:
        """Write the state into the model's variables: it is there already."""
