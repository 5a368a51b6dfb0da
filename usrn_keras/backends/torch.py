"""PyTorch: eager steps that add each gradient to the momentum at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import torch
from keras import layers, ops

from usrn_keras.backends.graph import all_layers
from usrn_keras.backends.steps import Terms, accepts_partial_gradients, release_memory, sum_of_terms
from usrn_keras.backends.torch_constants import CachedConstants
from usrn_keras.backends.torch_layers import run_graph
from usrn_keras.backends.torch_ranks import current_ranks, join, leave
from usrn_keras.backends.torch_updates import MomentumSum, momentum_buffers, move_by_adamw, move_by_momentum
from usrn_keras.optimizers import AdamW

Tensor = torch.Tensor
no_gradient = torch.no_grad
without_program_cache = contextlib.nullcontext
COMPILES = False
join_ranks, leave_ranks = join, leave


def prepare(programs: Path) -> None:
    """Let GPUs multiply float32 matrices in TensorFloat-32, as the other backends do; take fast kernels."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    set_deterministic(False)


def set_deterministic(deterministic: bool) -> None:
    """Choose kernels on a GPU that give the same bits every time, or the fastest, found by trying them."""
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it before its first kernel
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def fetch(terms: Sequence[Terms]) -> list[dict[str, float]]:
    """Copy loss terms of several steps to the host, at once; means over the processes that train together."""
    kept = torch.stack([value.float() for one in terms for value in one.values()])
    ranks = current_ranks()
    values = iter((kept if ranks.world == 1 else ranks.mean(kept)).tolist())
    return [{name: next(values) for name in one} for one in terms]


def number_of_devices() -> int:
    """Number of devices that one process can train on."""
    return 1


def cache_programs(programs: Path) -> None:
    """Do nothing: PyTorch compiles no programs."""


def on_accelerator() -> bool:
    """Whether training runs on a GPU with CUDA or ROCm."""
    return torch.cuda.is_available()


keeps_constants = on_accelerator


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
    # On a CPU nothing is copied, and the context costs more than it saves.
    with CachedConstants() if keeps_constants() else contextlib.nullcontext():
        return (_step_by_parts if by_parts else _step_by_sum)(method, batch)


def _step_by_parts(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Tensor]]:
    """Add the gradients of each part to the momentum as they are computed, and release them."""
    ranks = current_ranks()
    momentum = MomentumSum(method.optimizer, ranks.world)
    terms, context = [], {}
    for part in method.loss_parts():
        hooks = [momentum.hook(variable) for variable in part.trains]
        try:
            found, context = _compute_part(part, batch, context)
        finally:
            for hook in hooks:
                hook.remove()
        momentum.add()
        terms.append(found)
    moved = momentum.started(method.trainable_variables)
    if ranks.world > 1:
        ranks.add_up(momentum_buffers(method.optimizer, moved))
    move_by_momentum(method.optimizer, moved)
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
    gradients = [variable.value.grad for variable in known]
    ranks = current_ranks()
    if ranks.world > 1:
        torch._foreach_div_(gradients, ranks.world)
        ranks.add_up(gradients)
    if type(method.optimizer) is AdamW and method.optimizer.applies_gradients_as_they_are:
        move_by_adamw(method.optimizer, gradients, known)
    else:
        with torch.no_grad():
            method.optimizer.apply(gradients, known)
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
        devices: Number of devices of this process, 1.
    """

    def __init__(self, method: Any, devices: int = 1):
        self._method = method
        use_native_layout(method)
        release_memory()

    def __call__(self, batch: dict[str, Any]) -> Terms:
        return _update(self._method, {key: _on_device(value) for key, value in batch.items()})[0]


def _on_device(value: Any) -> Tensor:
    """Copy an array of a batch to the device, on a GPU without waiting for the step before."""
    if not on_accelerator() or isinstance(value, Tensor):
        return ops.convert_to_tensor(value)
    return torch.as_tensor(value).pin_memory().to("cuda", non_blocking=True)


def use_native_layout(model: Any) -> None:
    """Reorder the convolution kernels of a model and their optimizer state in memory, but for adapted ones.

    Their shapes do not change. Keras stores kernels as `(height, width, in, out)`. PyTorch needs
    `(out, in, height, width)`, so it would copy every kernel at each use, and every gradient back.

    Args:
        model: Method or network, with or without an optimizer.
    """
    optimizer = getattr(model, "optimizer", None)
    for layer in all_layers(model):
        stored = type(layer) in (layers.Conv2D, layers.DepthwiseConv2D)
        if stored and isinstance(layer.kernel, keras.Variable):
            _reorder(layer.kernel, layer)
            if layer.kernel.trainable and hasattr(optimizer, "buffers_of"):
                for buffer in optimizer.buffers_of(layer.kernel):
                    _reorder(buffer, layer)


def _reorder(variable: Any, layer: Any) -> None:
    there = (2, 3, 0, 1) if isinstance(layer, layers.DepthwiseConv2D) else (3, 0, 1, 2)
    back = tuple(there.index(axis) for axis in range(4))
    with torch.no_grad():
        variable.value.data = variable.value.data.permute(there).contiguous().permute(back)
