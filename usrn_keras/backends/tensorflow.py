"""TensorFlow: graphs by its fused operations, one graph of its own kernels for a step, updates in place.

On a CPU, TensorFlow computes a dilated convolution about ten times as slowly as one that is not, and
batch normalisation in ten elementwise steps unless it is asked for the fused one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from usrn_keras.backends import layer_operations
from usrn_keras.backends.graph import Step
from usrn_keras.backends.memory import release_memory
from usrn_keras.backends.steps import Terms, accepts_partial_gradients, sum_of_terms

Tensor = Any

# Pseudo labels stop the gradient; the graph drops what only a gradient would need.
no_gradient = contextlib.nullcontext


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """`model(inputs, training=training)`, faster; see `layer_operations.run_with`."""
    return layer_operations.run_with(OPERATIONS, model, inputs, training)


def _convolution(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = tf.cast(inputs[0], layer.compute_dtype)
    kernel = layer_operations.living_kernel(layer, x.shape[1:3], layer.compute_dtype)
    dilated = max(layer.dilation_rate) > 1 and max(kernel.shape[:2]) > 1
    if layer.groups > 1 or None in x.shape[1:3]:
        return layer_operations.convolution(step, inputs, training)
    odd = all(taps % 2 for taps in kernel.shape[:2])  # an even kernel is padded at one end more
    if dilated and odd and layer.padding == "same" and not tf.config.list_physical_devices("GPU"):
        return layer_operations.finish(layer, _dilated(x, kernel, layer.dilation_rate))
    dilations = layer.dilation_rate if dilated else 1
    result = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=dilations)
    return layer_operations.finish(layer, result)


def _dilated(x: Tensor, kernel: Tensor, rates: tuple[int, int]) -> Tensor:
    """A dilated convolution as one that is not, of the `rate x rate` sub-images of every rate-th pixel."""
    ends = [-size % rate for size, rate in zip(x.shape[1:3], rates, strict=True)]
    parts = tf.space_to_batch(x, rates, [[0, end] for end in ends])
    return tf.batch_to_space(tf.nn.conv2d(parts, kernel, 1, "SAME"), rates, [[0, end] for end in ends])


def _batch_normalization(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = inputs[0]
    if not (training and layer.trainable and layer.scale and layer.center and layer.axis in (-1, 3)):
        return layer_operations.batch_normalization(step, inputs, training)
    result, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, layer.gamma.value, layer.beta.value, epsilon=layer.epsilon, is_training=True
    )
    count = tf.cast(tf.size(x[..., 0]), variance.dtype)
    layer_operations.update_moments(
        layer, mean, variance * (count - 1) / count
    )  # as Keras: not the unbiased one
    return tf.cast(result, layer.compute_dtype)


OPERATIONS = layer_operations.OPERATIONS | {
    layers.Conv2D: _convolution,
    layers.BatchNormalization: _batch_normalization,
}


def prepare(programs: Path) -> None:
    """Run one operation at a time on a CPU, each on all cores: two thirds of the time of a step, and fewer
    results alive at once.
    """
    if "TF_NUM_INTEROP_THREADS" in os.environ or on_accelerator():
        return
    with contextlib.suppress(RuntimeError):  # TensorFlow computes already, and keeps what it began with
        tf.config.threading.set_inter_op_parallelism_threads(1)


def compile_forward(model: keras.Model, function: Callable) -> Callable:
    """`function(network, images)` without gradients, compiled for each shape of images."""

    # On a CPU, XLA takes five times as long to compile, and as long to run depthwise convolutions.
    @tf.function(jit_compile=on_accelerator())
    def program(images: Tensor) -> Tensor:
        return function(partial(run_graph, model, training=False), images)

    return program


def on_accelerator() -> bool:
    """Whether the device that computes is something other than a CPU."""
    return bool(tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("TPU"))


def device_peak_memory() -> Callable[[], int] | None:
    """A function that gives the peak of the memory of the GPU in bytes; None on a CPU."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    tf.config.experimental.reset_memory_stats("GPU:0")
    return lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"]


def train_step(method: Any, data: Any) -> Terms:
    """Keras' `train_step(data)`."""
    batch = method.batch_of(data)
    terms, context = _update(method, batch)
    return method.step_logs(batch, terms, context)


def _update(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
    """One step: terms and context."""
    if not method.optimizer.built:  # Keras' trainer builds it in the first step, inside the graph
        with tf.init_scope():
            method.optimizer.build(method.trainable_variables)
    return (_lean_step if accepts_partial_gradients(method.optimizer) else _plain_step)(method, batch)


def _lean_step(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
    """The gradients of each part go into the momentum before the next part begins."""
    optimizer, parts = method.optimizer, method.loss_parts()
    rate = tf.convert_to_tensor(optimizer.learning_rate)
    terms, before, context, started = [], [], {}, set()
    for number, part in enumerate(parts):
        with tf.control_dependencies(before):  # or the activations of both parts would be in memory
            gradients, found, context = _gradients(part, batch, context)
        terms.append(found)
        last = number == len(parts) - 1
        taken = []
        for variable, gradient in zip(part.trains, gradients, strict=True):
            # A part whose loss does not depend on a variable adds nothing to its gradient.
            gradient = tf.zeros_like(variable.value) if gradient is None else gradient
            first = id(variable) not in started
            taken.append(_take_in(optimizer, variable, gradient, rate if last else 0 * rate, first=first))
            started.add(id(variable))
        before = [tf.group(taken)]
    moved = {id(variable) for variable in parts[-1].trains}
    with tf.control_dependencies(before):  # what the last part does not train moves after all gradients
        for variable in method.trainable_variables:
            if id(variable) in started - moved:
                _take_in(optimizer, variable, tf.zeros_like(variable.value), rate, first=False)
    optimizer.iterations.assign_add(1)
    return sum_of_terms(terms), context


def _take_in(
    optimizer: Any, variable: keras.Variable, gradient: Tensor, rate: Tensor, *, first: bool
) -> tf.Operation:
    """`SGD.add_gradient`, then a step with `rate`, which is 0 unless this part is the last, in place."""
    if first:
        gradient = gradient + optimizer.coupled_weight_decay * variable.value
    return tf.raw_ops.ResourceApplyMomentum(
        var=variable.value.handle,
        accum=optimizer.momentum_of(variable).value.handle,
        lr=tf.cast(rate * optimizer.rate_factor(variable), variable.dtype),
        grad=gradient,
        momentum=tf.constant(optimizer.momentum if first else 1.0, variable.dtype),
    )


def _plain_step(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
    """Any optimizer of Keras: the gradients are summed, then applied."""
    terms, total, context = [], {}, {}
    for part in method.loss_parts():
        gradients, found, context = _gradients(part, batch, context)
        for variable, gradient in zip(part.trains, gradients, strict=True):
            if gradient is not None:
                key = id(variable)
                total[key] = total[key] + gradient if key in total else gradient
        terms.append(found)
    known = [variable for variable in method.trainable_variables if id(variable) in total]
    method.optimizer.apply([total[id(variable)] for variable in known], known)
    return sum_of_terms(terms), context


def _gradients(
    part: Any, batch: dict[str, Any], context: dict[str, Any]
) -> tuple[list[Tensor | None], Terms, dict[str, Any]]:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in part.trains])
        terms, found = part.compute(batch, context)
    context = context | {name: tf.stop_gradient(value) for name, value in found.items()}
    trained = [variable.value for variable in part.trains]
    return tape.gradient(terms["loss"], trained) if trained else [], terms, context


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled method.

    Args:
        method: A compiled method.
    """

    def __init__(self, method: Any):
        self._function = tf.function(lambda batch: _update(method, batch)[0], reduce_retracing=True)
        self._first = True
        release_memory()

    def __call__(self, batch: dict[str, Any]) -> Terms:
        terms = self._function({key: tf.convert_to_tensor(value) for key, value in batch.items()})
        if self._first:
            self._first = False
            release_memory()
        return terms
