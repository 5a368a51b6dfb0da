"""PyTorch: eager steps that add each gradient to the momentum at once, and the update of AdamW."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import torch
from keras import layers, ops

from usrn_keras.backends.steps import Terms, accepts_partial_gradients, release_memory, sum_of_terms
from usrn_keras.backends.torch_layers import run_graph
from usrn_keras.optimizers import AdamW

Tensor = torch.Tensor
no_gradient = torch.no_grad
without_program_cache = contextlib.nullcontext
COMPILES = False


def prepare(programs: Path) -> None:
    """Do nothing: PyTorch compiles no programs."""


cache_programs = prepare


def on_accelerator() -> bool:
    """Whether training runs on a GPU with CUDA or ROCm."""
    return torch.cuda.is_available()


def device_names() -> list[str]:
    """Names of the GPUs; empty without one."""
    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def available_gpu_memory() -> int | None:
    """Bytes of GPU memory that are free or held by PyTorch."""
    free, _ = torch.cuda.mem_get_info()
    return free + torch.cuda.memory_reserved()


def gpu_peak_memory() -> Callable[[], int] | None:
    """Function that returns the peak memory of the GPU in bytes; None on a CPU."""
    if not on_accelerator():
        return None
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.max_memory_allocated


def compile_forward(model: keras.Model, function: Callable) -> Callable:
    """Wrap `function(network, images)` to run without gradients.

    Args:
        model: Network that the function receives.
        function: Function of the network and the images.

    Returns:
        A function of the images.
    """

    def program(images: Any) -> Tensor:
        with torch.no_grad():
            return function(partial(run_graph, model, training=False), ops.convert_to_tensor(images))

    return program


def input_gradient(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Compute the gradient of a scalar function by its argument, also within a part without gradient.

    Args:
        function: Function of a tensor.
        values: Tensor at which the gradient is computed; the gradient itself has none.
    """
    with torch.enable_grad():
        values = values.detach().requires_grad_()
        return torch.autograd.grad(function(values), values)[0]


def train_step(method: Any, data: Any) -> Terms:
    """Implement `train_step(data)` of Keras."""
    batch = method.batch_of(data)
    terms, context = _update(method, batch)
    return method.step_logs(batch, terms, context)


def _update(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Tensor]]:
    """Run one step and return its terms and context."""
    by_parts = accepts_partial_gradients(method.optimizer)
    return (_step_by_parts if by_parts else _step_by_sum)(method, batch)


def _step_by_parts(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Tensor]]:
    """Add each gradient to its momentum buffer as soon as it is computed, and release it."""
    optimizer, started = method.optimizer, set()

    def accumulate(variable: keras.Variable) -> Any:
        buffer = optimizer.momentum_of(variable).value

        @torch.no_grad()
        def hook(parameter: Tensor) -> None:
            if id(parameter) not in started:
                started.add(id(parameter))
                buffer.mul_(optimizer.momentum).add_(parameter, alpha=optimizer.coupled_weight_decay)
            buffer.add_(parameter.grad)
            parameter.grad = None

        return variable.value.register_post_accumulate_grad_hook(hook)

    terms, context = [], {}
    for part in method.loss_parts():
        hooks = [accumulate(variable) for variable in part.trains]
        try:
            found, context = _compute_part(part, batch, context)
        finally:
            for hook in hooks:
                hook.remove()
        terms.append(found)
    with torch.no_grad():
        rate = float(optimizer.learning_rate)
        for variable in method.trainable_variables:
            if id(variable.value) in started:
                buffer = optimizer.momentum_of(variable).value
                variable.value.add_(buffer, alpha=-rate * optimizer.rate_factor(variable))
        optimizer.iterations.assign_add(1)
    return sum_of_terms(terms), context


def _step_by_sum(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Tensor]]:
    """Sum the gradients of all parts and apply them, with any Keras optimizer."""
    for variable in method.trainable_variables:
        variable.value.grad = None
    terms, context = [], {}
    for part in method.loss_parts():
        found, context = _compute_part(part, batch, context)
        terms.append(found)
    # A gradient is None if no loss depends on the variable.
    known = [variable for variable in method.trainable_variables if variable.value.grad is not None]
    with torch.no_grad():
        method.optimizer.apply([variable.value.grad for variable in known], known)
    return sum_of_terms(terms), context


def _compute_part(
    part: Any, batch: dict[str, Any], context: dict[str, Tensor]
) -> tuple[Terms, dict[str, Tensor]]:
    """Compute the terms and the context of a part, and add its gradients to `grad` of its variables."""
    with torch.set_grad_enabled(bool(part.trains)):
        terms, found = part.compute(batch, context)
    if part.trains:
        terms["loss"].backward(inputs=[variable.value for variable in part.trains])
    context = context | {name: value.detach() for name, value in found.items()}
    return {name: term.detach() for name, term in terms.items()}, context


class CompiledStep:
    """Training step of a compiled method: `step(batch)` -> loss terms on the device.

    Args:
        method: Compiled method; its convolution kernels are reordered in memory.
    """

    def __init__(self, method: Any):
        self._method = method
        use_native_layout(method)
        release_memory()

    def __call__(self, batch: dict[str, Any]) -> Terms:
        tensors = {key: ops.convert_to_tensor(value) for key, value in batch.items()}
        return _update(self._method, tensors)[0]


def use_native_layout(model: Any) -> None:
    """Reorder the convolution kernels of a model and their optimizer state in memory.

    Their shapes do not change. Keras stores kernels as `(height, width, in, out)`. PyTorch needs
    `(out, in, height, width)`, so it would copy every kernel at each use, and every gradient back.

    Args:
        model: Method or network, with or without an optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    for layer in model._flatten_layers():
        if type(layer) in (layers.Conv2D, layers.DepthwiseConv2D):
            _reorder(layer.kernel, layer)
            if layer.kernel.trainable and hasattr(optimizer, "buffers_of"):
                for buffer in optimizer.buffers_of(layer.kernel):
                    _reorder(buffer, layer)


def _reorder(variable: Any, layer: Any) -> None:
    there = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (3, 0, 1, 2)
    back = tuple(there.index(axis) for axis in range(4))
    with torch.no_grad():
        variable.value.data = variable.value.data.permute(there).contiguous().permute(back)


@torch.no_grad()
def fused_update(
    optimizer: AdamW, gradients: list[Tensor], variables: Iterable[keras.Variable], learning_rate: Any
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
    beta_1, beta_2, taken = optimizer.beta_1, optimizer.beta_2, int(optimizer.iterations) + 1
    rates = [float(learning_rate) * optimizer.rate_factor(variable) for variable in variables]
    buffers = [optimizer.buffers_of(variable) for variable in variables]
    means, squares = [mean.value for mean, _ in buffers], [square.value for _, square in buffers]
    weights = [variable.value for variable in variables]
    gradients = [gradient.to(weight.dtype) for gradient, weight in zip(gradients, weights, strict=True)]
    decay = optimizer.decoupled_weight_decay
    shrink = [1 - rate * decay * optimizer.decays(v) for rate, v in zip(rates, variables, strict=True)]
    torch._foreach_mul_(weights, shrink)
    torch._foreach_lerp_(means, gradients, 1 - beta_1)
    torch._foreach_mul_(squares, beta_2)
    torch._foreach_addcmul_(squares, gradients, gradients, value=1 - beta_2)
    sizes = torch._foreach_sqrt(squares)
    torch._foreach_add_(sizes, optimizer.epsilon)
    unbias = (1 - beta_2**taken) ** 0.5 / (1 - beta_1**taken)
    torch._foreach_addcdiv_(weights, means, sizes, [-rate * unbias for rate in rates])


AdamW.fused_update = staticmethod(fused_update)
