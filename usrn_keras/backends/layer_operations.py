"""Run a functional Keras graph with `keras.ops`, on JAX and for most layers on TensorFlow.

The operations bypass `Layer.__call__`, which dominates the tracing time. Kernel taps that only read padding
are removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras import layers, ops, tree

from usrn_keras.backends.graph import GraphPlan, Step, padding_taps, plan_of, run, same_padding
from usrn_keras.backends.joint_views import by_view, call_by_view, splits_views, view_sizes

Tensor = Any
Operation = Callable[[Step, list[Tensor], bool], Tensor]


def run_with(operations: Mapping[type, Operation], model: Any, inputs: Any, training: bool | None) -> Any:
    """Compute `model(inputs, training=training)` with other operations for some layer types.

    Args:
        operations: Operation by layer type.
        model: Keras model or layer. If it is not a plain functional graph, it is called as it is.
        inputs: Tensor `(batch, height, width, channels)`, or a nested list of such tensors.
        training: Whether batch normalisation uses the statistics of the batch and dropout is active.
    """
    plan = plan_of(model)
    if plan is None:
        return call_by_view(model, inputs, training, ops.concatenate)

    def operation(step: Step, given: list[Tensor]) -> Tensor:
        nested: GraphPlan | None = plan_of(step.layer)
        if nested is not None:
            return run(nested, given, operation)
        if type(step.layer) in operations:
            return operations[type(step.layer)](step, given, bool(training))
        return call_layer(step, given, bool(training))

    given = [ops.cast(tensor, model.compute_dtype) for tensor in tree.flatten(inputs)]
    return run(plan, given, operation)


def call_layer(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Call the Keras layer, with each view of a batch if it normalises batches."""

    def call(inputs: list[Tensor]) -> Tensor:
        given = inputs if step.listed else inputs[0]
        arguments = {"training": training} if step.layer._call_has_training_arg else {}
        return step.layer(given, **arguments)

    return by_view(call, inputs, ops.concatenate) if splits_views(step.layer, training) else call(inputs)


def trim_kernel(layer: layers.Conv2D, size: tuple[int, ...], dtype: str) -> Tensor:
    """Remove the kernel taps that only read padding on an input of height and width `size`."""
    kernel = ops.cast(layer.kernel, dtype)
    rows, columns = padding_taps(layer, size)
    height, width = layer.kernel_size
    return kernel[rows : height - rows, columns : width - columns] if rows or columns else kernel


def finish(layer: layers.Conv2D, result: Tensor) -> Tensor:
    """Add the bias of a convolution and apply its activation."""
    result = result + ops.cast(layer.bias, result.dtype) if layer.use_bias else result
    return result if layer.activation is None else layer.activation(result)


def convolution(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Compute `keras.layers.Conv2D`."""
    layer = step.layer
    x = ops.cast(inputs[0], layer.compute_dtype)
    kernel = trim_kernel(layer, x.shape[1:3], layer.compute_dtype)
    result = ops.conv(x, kernel, list(layer.strides), layer.padding, dilation_rate=layer.dilation_rate)
    return finish(layer, result)


def batch_normalization(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Compute `keras.layers.BatchNormalization`, with the variance as the mean squared deviation.

    Keras computes the mean square minus the squared mean, which loses precision if the mean is large.
    """
    layer = step.layer
    if layer.axis not in (-1, 3):
        return call_layer(step, inputs, training)
    x = ops.cast(inputs[0], "float32")
    if training and layer.trainable and view_sizes():
        return _normalise_views(step, x)
    mean, variance = layer.moving_mean, layer.moving_variance
    if training and layer.trainable:
        mean = ops.mean(x, axis=(0, 1, 2))
        variance = ops.mean(ops.square(x - mean), axis=(0, 1, 2))
        update_moments(layer, mean, variance)
    return _scaled(layer, x, mean, variance)


def _normalise_views(step: Step, x: Tensor) -> Tensor:
    """Normalise each view of a batch by its own statistics; views of one size in one operation."""
    sizes, layer = view_sizes(), step.layer
    if not all(isinstance(size, int) and size == sizes[0] for size in sizes):
        return by_view(lambda view: batch_normalization(step, view, True), [x], ops.concatenate)
    views = ops.reshape(x, (len(sizes), sizes[0], *x.shape[1:]))
    mean = ops.mean(views, axis=(1, 2, 3), keepdims=True)
    variance = ops.mean(ops.square(views - mean), axis=(1, 2, 3), keepdims=True)
    for view in range(len(sizes)):
        update_moments(layer, mean[view, 0, 0, 0], variance[view, 0, 0, 0])
    return ops.reshape(_scaled(layer, views, mean, variance), x.shape)


def _scaled(layer: layers.BatchNormalization, x: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Normalise a batch, then apply scale and offset."""
    scale = ops.rsqrt(variance + layer.epsilon)
    scale = scale * layer.gamma if layer.scale else scale
    result = (x - mean) * scale
    return ops.cast(result + layer.beta if layer.center else result, layer.compute_dtype)


def update_moments(layer: layers.BatchNormalization, mean: Tensor, variance: Tensor) -> None:
    """Update the moving mean and variance with those of a batch."""
    for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + ops.stop_gradient(value) * (1.0 - layer.momentum))


def relu(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Compute `keras.layers.Activation`, and `keras.layers.ReLU` without a slope or threshold."""
    layer = step.layer
    if isinstance(layer, layers.Activation):
        return layer.activation(inputs[0])
    if layer.negative_slope or layer.threshold or layer.max_value not in (None, 6):
        return call_layer(step, inputs, training)
    return ops.relu(inputs[0]) if layer.max_value is None else ops.relu6(inputs[0])


def add(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Compute `keras.layers.Add`."""
    return sum(inputs[1:], start=inputs[0])


OPERATIONS: dict[type, Operation] = {
    layers.Conv2D: convolution,
    layers.BatchNormalization: batch_normalization,
    layers.ReLU: relu,
    layers.Activation: relu,
    layers.Add: add,
}


def depthwise_by_taps(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Compute `keras.layers.DepthwiseConv2D` with one product and one sum per kernel tap."""
    layer: layers.DepthwiseConv2D = step.layer
    x = ops.cast(inputs[0], layer.compute_dtype)
    if layer.depth_multiplier != 1 or layer.data_format != "channels_last" or None in x.shape[1:3]:
        return call_layer(step, inputs, training)
    kernel = ops.cast(layer.kernel, layer.compute_dtype)
    shifted = _shifted(x, layer)
    return finish(layer, sum(view * kernel[row, column, :, 0] for (row, column), view in shifted.items()))


def _shifted(x: Tensor, layer: layers.DepthwiseConv2D) -> dict[tuple[int, int], Tensor]:
    """Input of each kernel tap, `(batch, out height, out width, channels)`, by the row and column."""
    (height, width), strides, rates = layer.kernel_size, layer.strides, layer.dilation_rate
    if layer.padding == "same":
        sides = zip(x.shape[1:3], layer.kernel_size, strides, rates, strict=True)
        x = ops.pad(x, ((0, 0), *(same_padding(*side) for side in sides), (0, 0)))
    reach = [(taps - 1) * rate + 1 for taps, rate in zip(layer.kernel_size, rates, strict=True)]
    rows, columns = (
        (pixels - span) // stride * stride + 1
        for pixels, span, stride in zip(x.shape[1:3], reach, strides, strict=True)
    )
    return {
        (row, column): x[
            :,
            row * rates[0] : row * rates[0] + rows : strides[0],
            column * rates[1] : column * rates[1] + columns : strides[1],
        ]
        for row in range(height)
        for column in range(width)
    }
