"""PyTorch: graphs of Keras layers with native operations.

The torch backend of Keras copies the input of every convolution twice to change its layout, and computes
batch normalisation as ten elementwise operations whose results are stored until the backward pass. Here a
tensor keeps the memory order of Keras, `(batch, height, width, channels)`, which PyTorch reads as
channels-last; batch normalisation is that of PyTorch; ReLU and sums overwrite inputs that no other layer
reads. The computed function is the same, and the layers are those of Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from keras import Variable, activations, layers, ops, tree

from usrn_keras.backends.graph import GraphPlan, Step, padding_taps, plan_of, run, same_padding
from usrn_keras.backends.joint_views import by_view, call_by_view, splits_views, view_sizes
from usrn_keras.backends.torch_constants import constant
from usrn_keras.backends.torch_ranks import current_ranks

Tensor = torch.Tensor


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """Compute `model(inputs, training=training)` faster.

    Args:
        model: Keras model or layer. If it is not a plain functional graph, it is called as it is.
        inputs: Tensor `(batch, height, width, channels)`, or a nested list of such tensors.
        training: Whether batch normalisation uses the statistics of the batch and dropout is active.
    """
    plan = plan_of(model)
    if plan is None:
        return call_by_view(model, inputs, training, torch.cat)
    given = [_channels_first(_tensor(tensor, model.compute_dtype)) for tensor in tree.flatten(inputs)]
    statistics = BatchStatistics() if training else None
    result = _channels_last(_run(plan, given, statistics))
    if statistics is not None:
        statistics.move()
    return result


class BatchStatistics:
    """Statistics of the batches of one pass, which move the statistics of all layers in a few kernels."""

    def __init__(self) -> None:
        # By layer, once for each time that the layers ran: several views, or a layer that runs twice.
        self._runs: list[dict[int, tuple[layers.BatchNormalization, Tensor, Tensor]]] = []

    def add(self, layer: layers.BatchNormalization, mean: Tensor, deviation: Tensor) -> None:
        """Keep the mean of a batch and the inverse of its standard deviation, both `(channels,)`."""
        found = next((found for found in self._runs if id(layer) not in found), None)
        if found is None:
            self._runs.append(found := {})
        found[id(layer)] = layer, mean, deviation

    def move(self) -> None:
        """Move mean and variance of the layers towards those of the batches, in the order of the batches."""
        for found in self._runs:
            self._move_once(list(found.values()))
        self._runs.clear()

    @torch.no_grad()
    def _move_once(self, statistics: list[tuple[layers.BatchNormalization, Tensor, Tensor]]) -> None:
        alike: dict[tuple[float, float], list[tuple]] = {}
        for layer, *found in statistics:
            moving = layer.moving_mean.value, layer.moving_variance.value
            alike.setdefault((layer.momentum, layer.epsilon), []).append((*moving, *found))
        for (momentum, epsilon), group in alike.items():
            means, variances, batch_means, deviations = map(list, zip(*group, strict=True))
            # As in Keras, the biased variance of the batch (the moving variance of PyTorch divides by n - 1).
            batch_variances = torch._foreach_pow(deviations, -2)
            torch._foreach_sub_(batch_variances, epsilon)
            torch._foreach_clamp_min_(batch_variances, 0)
            if (ranks := current_ranks()).world > 1 and ranks.local_statistics:
                # All processes keep the same moving statistics.
                averaged = ranks.averaged([*batch_means, *batch_variances])
                batch_means, batch_variances = averaged[: len(group)], averaged[len(group) :]
            torch._foreach_lerp_(means, batch_means, 1 - momentum)
            torch._foreach_lerp_(variances, batch_variances, 1 - momentum)


Training = BatchStatistics | None  # None outside training


def _run(plan: GraphPlan, inputs: list[Tensor], training: Training) -> Tensor:
    """Run a plan on tensors `(batch, channels, height, width)`."""

    def operation(step: Step, inputs: list[Tensor]) -> Tensor:
        return OPERATIONS.get(type(step.layer), _call_layer)(step, inputs, training)

    return run(plan, inputs, operation)


def _call_layer(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    """Run a nested model, or call a layer without a native operation."""
    nested = plan_of(step.layer)
    if nested is not None:
        return _run(nested, inputs, training)

    def call(inputs: list[Tensor]) -> Tensor:
        given = [_channels_last(tensor) for tensor in inputs]
        arguments = {"training": training is not None} if step.layer._call_has_training_arg else {}
        return _channels_first(step.layer(given if step.listed else given[0], **arguments))

    if splits_views(step.layer, training is not None):
        return by_view(call, inputs, torch.cat)
    return call(inputs)


def _convolution(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    layer = step.layer
    x = inputs[0].to(_dtype(layer))
    kernel = layer.kernel
    kernel = kernel.value if isinstance(kernel, Variable) else kernel  # with a low-rank adapter: a tensor
    kernel = kernel.to(x.dtype).permute(3, 2, 0, 1)
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


def _batch_normalization(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    layer = step.layer
    if layer.axis not in (-1, 3):
        return _call_layer(step, inputs, training)
    x, dtype = inputs[0], _dtype(layer)
    scale = layer.gamma.value if layer.scale else None
    offset = layer.beta.value if layer.center else None
    mean, variance = layer.moving_mean.value, layer.moving_variance.value
    if training is None or not layer.trainable:
        return F.batch_norm(x, mean, variance, scale, offset, False, 0.0, layer.epsilon).to(dtype)
    ranks = current_ranks()

    def normalise(view: list[Tensor]) -> Tensor:
        if ranks.world > 1 and not ranks.local_statistics:
            result, batch_mean, deviation = ranks.batch_norm(view[0], scale, offset, layer.epsilon)
        else:
            result, batch_mean, deviation = torch.native_batch_norm(
                view[0], scale, offset, None, None, True, 0.0, layer.epsilon
            )
        training.add(layer, batch_mean.detach(), deviation.detach())
        return result.to(dtype)

    return by_view(normalise, inputs, torch.cat) if view_sizes() else normalise(inputs)


def _relu(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
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


def _zero_padding(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    (top, bottom), (left, right) = step.layer.padding
    return F.pad(inputs[0], (left, right, top, bottom)) if top or bottom or left or right else inputs[0]


def _max_pooling(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    layer, x = step.layer, inputs[0]
    if layer.padding == "same":
        sides = zip(x.shape[2:], layer.pool_size, layer.strides, strict=True)
        (top, bottom), (left, right) = (same_padding(*side) for side in sides)
        x = F.pad(x, (left, right, top, bottom), value=float("-inf"))
    return F.max_pool2d(x, layer.pool_size, layer.strides)


def _add(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    first, *rest = inputs
    if not step.in_place or any(other.shape != first.shape for other in rest):
        first, *rest = first + rest[0], *rest[1:]
    for other in rest:
        first = first.add_(other)
    return first


def _concatenate(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    return torch.cat(inputs, dim=1)


def _upsampling(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    layer, x = step.layer, inputs[0].to(_dtype(step.layer))
    if layer.interpolation != "bilinear":
        return _call_layer(step, inputs, training)
    size = [pixels * factor for pixels, factor in zip(x.shape[2:], layer.size, strict=True)]
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _mean(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    return inputs[0].mean(dim=(2, 3), keepdim=True)


def _rescaling(step: Step, inputs: list[Tensor], training: Training) -> Tensor:
    layer = step.layer
    scale, offset = (
        constant(value, _dtype(layer), inputs[0].device).reshape(-1, 1, 1)
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


OPERATIONS: dict[type, Callable[[Step, list[Tensor], Training], Tensor]] = {
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
