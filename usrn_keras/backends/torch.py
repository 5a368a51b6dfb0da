"""PyTorch: graphs with native operations, and eager steps that add each gradient to the momentum at once.

The torch backend of Keras copies the input of every convolution twice to change its layout, and computes
batch normalisation as ten elementwise operations whose results are stored until the backward pass. Here a
tensor keeps the memory order of Keras, `(batch, height, width, channels)`, which PyTorch reads as
channels-last; batch normalisation is that of PyTorch; ReLU and sums overwrite inputs that no other layer
reads. The computed function is the same, and the layers are those of Keras.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import torch
import torch.nn.functional as F
from keras import activations, layers, ops, tree

from usrn_keras.backends.freed_memory import release_memory
from usrn_keras.backends.graph import GraphPlan, Step, padding_taps, plan_of, run, same_padding
from usrn_keras.backends.steps import Terms, accepts_partial_gradients, sum_of_terms
from usrn_keras.optimizers import AdamW

Tensor = torch.Tensor
no_gradient = torch.no_grad


def prepare(programs: Path) -> None:
    """Do nothing: PyTorch compiles no programs."""


def on_accelerator() -> bool:
    """Whether the default device is not a CPU."""
    return ops.zeros(1).device.type != "cpu"


def device_peak_memory() -> Callable[[], int] | None:
    """Function that returns the peak memory of the GPU in bytes; None on a CPU."""
    if not torch.cuda.is_available():
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


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """Compute `model(inputs, training=training)` faster.

    Args:
        model: Keras model or layer. If it is not a plain functional graph, it is called as it is.
        inputs: Tensor `(batch, height, width, channels)`, or a nested list of such tensors.
        training: Whether batch normalisation uses the statistics of the batch and dropout is active.
    """
    plan = plan_of(model)
    if plan is None:
        return model(inputs, training=training)
    given = [_channels_first(_tensor(tensor, model.compute_dtype)) for tensor in tree.flatten(inputs)]
    return _channels_last(_run(plan, given, bool(training)))


def _run(plan: GraphPlan, inputs: list[Tensor], training: bool) -> Tensor:
    """Run a plan on tensors `(batch, channels, height, width)`."""

    def operation(step: Step, inputs: list[Tensor]) -> Tensor:
        return OPERATIONS.get(type(step.layer), _call_layer)(step, inputs, training)

    return run(plan, inputs, operation)


def _call_layer(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Run a nested model, or call a layer without a native operation."""
    nested = plan_of(step.layer)
    if nested is not None:
        return _run(nested, inputs, training)
    given = [_channels_last(tensor) for tensor in inputs]
    if step.layer._call_has_training_arg:
        result = step.layer(given if step.listed else given[0], training=training)
    else:
        result = step.layer(given if step.listed else given[0])
    return _channels_first(result)


def _convolution(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = inputs[0].to(_dtype(layer))
    kernel = layer.kernel.value.to(x.dtype).permute(3, 2, 0, 1)
    if isinstance(layer, layers.DepthwiseConv2D):
        groups = x.shape[1]
        kernel = kernel.permute(1, 0, 2, 3).reshape(-1, 1, *kernel.shape[2:])
    else:
        groups = layer.groups
    padding: Any = 0
    if layer.padding == "same":
        unused = padding_taps(layer, x.shape[2:])
        for axis in (0, 1):
            if unused[axis]:
                kernel = kernel.narrow(2 + axis, unused[axis], kernel.shape[2 + axis] - 2 * unused[axis])
        sides = zip(x.shape[2:], kernel.shape[2:], layer.strides, layer.dilation_rate, strict=True)
        (top, bottom), (left, right) = (same_padding(*side) for side in sides)
        padding = (top, left)
        if padding != (bottom, right):
            x, padding = F.pad(x, (left, right, top, bottom)), 0
    bias = layer.bias.value.to(x.dtype) if layer.use_bias else None
    return _apply(
        layer.activation, F.conv2d(x, kernel, bias, layer.strides, padding, layer.dilation_rate, groups), True
    )


def _batch_normalization(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    if layer.axis not in (-1, 3):
        return _call_layer(step, inputs, training)
    x, dtype = inputs[0], _dtype(layer)
    scale = layer.gamma.value if layer.scale else None
    offset = layer.beta.value if layer.center else None
    mean, variance = layer.moving_mean.value, layer.moving_variance.value
    if not (training and layer.trainable):
        return F.batch_norm(x, mean, variance, scale, offset, False, 0.0, layer.epsilon).to(dtype)
    result, batch_mean, deviation = torch.native_batch_norm(
        x, scale, offset, None, None, True, 0.0, layer.epsilon
    )
    with torch.no_grad():
        # As in Keras, the biased variance of the batch (the moving variance of PyTorch divides by n - 1).
        batch_variance = (deviation.pow(-2) - layer.epsilon).clamp_(min=0)
        mean.lerp_(batch_mean, 1 - layer.momentum)
        variance.lerp_(batch_variance, 1 - layer.momentum)
    return result.to(dtype)


def _relu(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer, x = step.layer, inputs[0]
    if isinstance(layer, layers.Activation):
        return _apply(layer.activation, x, step.in_place)
    if layer.negative_slope or layer.threshold:
        return _call_layer(step, inputs, training)
    if layer.max_value is None:
        return torch.relu_(x) if step.in_place else torch.relu(x)
    return F.hardtanh(x, 0.0, float(layer.max_value), inplace=step.in_place)


def _apply(activation: Callable | None, x: Tensor, in_place: bool) -> Tensor:
    if activation is None or activation is activations.linear:
        return x
    if activation is activations.relu:
        return torch.relu_(x) if in_place else torch.relu(x)
    return _channels_first(activation(_channels_last(x)))


def _zero_padding(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    (top, bottom), (left, right) = step.layer.padding
    return F.pad(inputs[0], (left, right, top, bottom)) if top or bottom or left or right else inputs[0]


def _max_pooling(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer, x = step.layer, inputs[0]
    if layer.padding == "same":
        sides = zip(x.shape[2:], layer.pool_size, layer.strides, strict=True)
        (top, bottom), (left, right) = (same_padding(*side) for side in sides)
        x = F.pad(x, (left, right, top, bottom), value=float("-inf"))
    return F.max_pool2d(x, layer.pool_size, layer.strides)


def _add(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    first, *rest = inputs
    if not step.in_place or any(other.shape != first.shape for other in rest):
        first, *rest = first + rest[0], *rest[1:]
    for other in rest:
        first = first.add_(other)
    return first


def _concatenate(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    return torch.cat(inputs, dim=1)


def _upsampling(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer, x = step.layer, inputs[0].to(_dtype(step.layer))
    if layer.interpolation != "bilinear":
        return _call_layer(step, inputs, training)
    size = [pixels * factor for pixels, factor in zip(x.shape[2:], layer.size, strict=True)]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _mean(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    return inputs[0].mean(dim=(2, 3), keepdim=True)


def _rescaling(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    scale, offset = (
        torch.as_tensor(value, dtype=_dtype(layer), device=inputs[0].device).reshape(-1, 1, 1)
        for value in (layer.scale, layer.offset)
    )
    return inputs[0].to(_dtype(layer)) * scale + offset


def _tensor(value: Any, dtype: str) -> Tensor:
    tensor = ops.convert_to_tensor(value)
    return tensor if tensor.is_floating_point() else tensor.to(getattr(torch, dtype))


def _dtype(layer: Any) -> torch.dtype:
    return getattr(torch, layer.compute_dtype)


def _channels_first(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 3, 1, 2)


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 2, 3, 1)


OPERATIONS: dict[type, Callable[[Step, list[Tensor], bool], Tensor]] = {
    layers.Conv2D: _convolution,
    layers.DepthwiseConv2D: _convolution,
    layers.BatchNormalization: _batch_normalization,
    layers.ReLU: _relu,
    layers.Activation: _relu,
    layers.ZeroPadding2D: _zero_padding,
    layers.MaxPooling2D: _max_pooling,
    layers.Add: _add,
    layers.Concatenate: _concatenate,
    layers.UpSampling2D: _upsampling,
    layers.GlobalAveragePooling2D: _mean,
    layers.Rescaling: _rescaling,
}


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
