"""TensorFlow: graphs with fused operations, and one `tf.function` per step with in-place updates.

On a CPU, TensorFlow computes a dilated convolution about ten times slower than an ordinary one, and batch
normalisation as ten elementwise operations unless the fused operation is called.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from usrn_keras.backends import layer_operations
from usrn_keras.backends.graph import Step
from usrn_keras.backends.joint_views import by_view, view_sizes
from usrn_keras.backends.steps import (
    Terms,
    accepts_partial_gradients,
    release_memory,
    sum_of_terms,
)
from usrn_keras.errors import BackendError
from usrn_keras.machine import visible_gpus
from usrn_keras.ranks import Ranks

Tensor = Any

# Pseudo labels stop the gradient, and the graph drops the operations that only a gradient needs.
no_gradient = contextlib.nullcontext
without_program_cache = contextlib.nullcontext  # TensorFlow stores no programs
COMPILES = True


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """Compute `model(inputs, training=training)` faster; see `layer_operations.run_with`."""
    return layer_operations.run_with(OPERATIONS, model, inputs, training)


def _convolution(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = tf.cast(inputs[0], layer.compute_dtype)
    kernel = layer_operations.trim_kernel(layer, x.shape[1:3], layer.compute_dtype)
    dilated = max(layer.dilation_rate) > 1 and max(kernel.shape[:2]) > 1
    if layer.groups > 1 or None in x.shape[1:3]:
        return layer_operations.convolution(step, inputs, training)
    odd = all(taps % 2 for taps in kernel.shape[:2])  # the padding of an even kernel is asymmetric
    if dilated and odd and layer.padding == "same" and not on_accelerator():
        return layer_operations.finish(layer, _dilated(x, kernel, layer.dilation_rate))
    dilations = layer.dilation_rate if dilated else 1
    result = tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper(), dilations=dilations)
    return layer_operations.finish(layer, result)


def _dilated(x: Tensor, kernel: Tensor, rates: tuple[int, int]) -> Tensor:
    """Compute a dilated convolution as an ordinary one on the sub-images of every `rate`-th pixel."""
    ends = [-size % rate for size, rate in zip(x.shape[1:3], rates, strict=True)]
    parts = tf.space_to_batch(x, rates, [[0, end] for end in ends])
    return tf.batch_to_space(tf.nn.conv2d(parts, kernel, 1, "SAME"), rates, [[0, end] for end in ends])


def _batch_normalization(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    layer = step.layer
    x = inputs[0]
    if not (training and layer.trainable and layer.scale and layer.center and layer.axis in (-1, 3)):
        return layer_operations.batch_normalization(step, inputs, training)
    if view_sizes():
        return by_view(lambda view: _batch_normalization(step, view, training), inputs, _joined)
    result, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, layer.gamma.value, layer.beta.value, epsilon=layer.epsilon, is_training=True
    )
    count = tf.cast(tf.size(x[..., 0]), variance.dtype)
    # Keras uses the biased variance, the fused operation returns the unbiased one.
    layer_operations.update_moments(layer, mean, variance * (count - 1) / count)
    return tf.cast(result, layer.compute_dtype)


def _joined(tensors: list[Tensor]) -> Tensor:
    return tf.concat(tensors, axis=0)


def _upsampling(step: Step, inputs: list[Tensor], training: bool) -> Tensor:
    """Interpolate bilinearly in float32: XLA gives the gradient in float32, whatever the input (TF 2.21)."""
    layer, x = step.layer, inputs[0]
    if layer.interpolation != "bilinear" or layer.compute_dtype == "float32":
        return layer_operations.call_layer(step, inputs, training)
    sides = tf.shape(x)[1:3] if None in x.shape[1:3] else np.array(x.shape[1:3])
    resized = tf.image.resize(tf.cast(x, "float32"), sides * np.array(layer.size))
    return tf.cast(resized, layer.compute_dtype)


OPERATIONS = layer_operations.OPERATIONS | {
    layers.Conv2D: _convolution,
    layers.BatchNormalization: _batch_normalization,
    layers.UpSampling2D: _upsampling,
}


def prepare(programs: Path) -> None:
    """Take GPU memory as needed; run one operation at a time on a CPU.

    The latter takes two thirds of the time of a step, and less memory.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        with contextlib.suppress(RuntimeError):  # TensorFlow is initialized and keeps its setting
            tf.config.experimental.set_memory_growth(gpu, True)
    if "TF_NUM_INTEROP_THREADS" in os.environ or on_accelerator():
        return
    with contextlib.suppress(RuntimeError):  # TensorFlow is initialized and keeps its setting
        tf.config.threading.set_inter_op_parallelism_threads(1)


def cache_programs(programs: Path) -> None:
    """Do nothing: TensorFlow stores no programs."""


def set_deterministic(deterministic: bool) -> None:
    """Choose kernels that give the same bits every time; TensorFlow cannot take it back."""
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def fetch(terms: Sequence[Terms]) -> list[dict[str, float]]:
    """Copy loss terms of several steps to the host."""
    return [{name: float(value) for name, value in one.items()} for one in terms]


def compile_forward(model: keras.Model, function: Callable) -> Callable:
    """Compile `function(network, images)` without gradients for each shape of images.

    Args:
        model: Network that the function receives.
        function: Function of the network and the images.

    Returns:
        A function of the images.
    """

    # On a CPU, XLA takes five times as long to compile and runs depthwise convolutions no faster.
    @tf.function(jit_compile=on_accelerator())
    def program(images: Tensor) -> Tensor:
        return function(partial(run_graph, model, training=False), images)

    return program


def number_of_devices() -> int:
    """Number of devices that one process can train on."""
    return 1


def join_ranks(ranks: Ranks, *, local_statistics: bool = False) -> Ranks:
    """Return the ranks of a process alone.

    Raises:
        BackendError: There are several processes.
    """
    if ranks.world > 1:
        raise BackendError(
            f"TensorFlow trains in one process, received WORLD_SIZE = {ranks.world}",
            hint="Use JAX for several, KERAS_BACKEND=jax usrn ...: run folders and weights are the same.",
        )
    return ranks


def leave_ranks(*, failed: bool = False) -> None:
    """Do nothing: there are no other processes."""


def on_accelerator() -> bool:
    """Whether a GPU is available."""
    return bool(tf.config.list_physical_devices("GPU"))


def device_names() -> list[str]:
    """Names of the GPUs; empty without one."""
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    return [found.get("device_name", "GPU") for found in details]


def available_gpu_memory() -> int | None:
    """Bytes of GPU memory that are free or held by TensorFlow; None if unknown."""
    gpus = visible_gpus()
    if not gpus or gpus[0].free is None:
        return None
    return gpus[0].free + tf.config.experimental.get_memory_info("GPU:0")["current"]


def gpu_peak_memory() -> Callable[[], int] | None:
    """Function that returns the peak memory of the GPU in bytes; None on a CPU."""
    if not on_accelerator():
        return None
    tf.config.experimental.reset_memory_stats("GPU:0")
    return lambda: tf.config.experimental.get_memory_info("GPU:0")["peak"]


def input_gradient(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Compute the gradient of a scalar function by its argument, also within a part without gradient.

    Args:
        function: Function of a tensor.
        values: Tensor at which the gradient is computed; the gradient itself has none.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        value = function(values)
    return tf.stop_gradient(tape.gradient(value, values))


def train_step(method: Any, data: Any) -> Terms:
    """Implement `train_step(data)` of Keras."""
    batch = method.batch_of(data)
    terms, context = _update(method, batch)
    return method.step_logs(batch, terms, context)


def _update(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
    """Run one step and return its terms and context."""
    if not method.optimizer.built:  # the Keras trainer would build it inside the graph of the first step
        with tf.init_scope():
            method.optimizer.build(method.trainable_variables)
    by_parts = accepts_partial_gradients(method.optimizer)
    return (_step_by_parts if by_parts else _step_by_sum)(method, batch)


def _step_by_parts(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
    """Add the gradients of each part to the momentum before the next part is computed."""
    optimizer, parts = method.optimizer, method.loss_parts()
    rate = tf.convert_to_tensor(optimizer.learning_rate)
    terms, before, context, started = [], [], {}, set()
    for number, part in enumerate(parts):
        with tf.control_dependencies(before):  # otherwise the activations of both parts would be in memory
            gradients, found, context = _gradients(part, batch, context)
        terms.append(found)
        last = number == len(parts) - 1
        updates = []
        for variable, gradient in zip(part.trains, gradients, strict=True):
            # The gradient is None if the loss of the part does not depend on the variable.
            gradient = tf.zeros_like(variable.value) if gradient is None else gradient
            first = id(variable) not in started
            part_rate = rate if last else 0 * rate
            updates.append(_add_gradient(optimizer, variable, gradient, part_rate, first=first))
            started.add(id(variable))
        before = [tf.group(updates)]
    moved = {id(variable) for variable in parts[-1].trains}
    with tf.control_dependencies(before):  # variables that the last part does not train are updated last
        for variable in method.trainable_variables:
            if id(variable) in started - moved:
                _add_gradient(optimizer, variable, tf.zeros_like(variable.value), rate, first=False)
    optimizer.iterations.assign_add(1)
    return sum_of_terms(terms), context


def _add_gradient(
    optimizer: Any, variable: keras.Variable, gradient: Tensor, rate: Tensor, *, first: bool
) -> tf.Operation:
    """Apply `SGD.add_gradient` and a step of learning rate `rate` (0 before the last part) in place."""
    if first:
        gradient = gradient + optimizer.coupled_weight_decay * variable.value
    return tf.raw_ops.ResourceApplyMomentum(
        var=variable.value.handle,
        accum=optimizer.momentum_of(variable).value.handle,
        lr=tf.cast(rate * optimizer.rate_factor(variable), variable.dtype),
        grad=gradient,
        momentum=tf.constant(optimizer.momentum if first else 1.0, variable.dtype),
    )


def _step_by_sum(method: Any, batch: dict[str, Any]) -> tuple[Terms, dict[str, Any]]:
    """Sum the gradients of all parts and apply them, with any Keras optimizer."""
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
    """Training step of a compiled method: `step(batch)` -> loss terms on the device.

    Args:
        method: Compiled method.
        devices: Number of devices of this process, 1.
    """

    def __init__(self, method: Any, devices: int = 1):
        self._function = tf.function(lambda batch: _update(method, batch)[0], reduce_retracing=True)
        self._first = True
        release_memory()

    def __call__(self, batch: dict[str, Any]) -> Terms:
        terms = self._function({key: tf.convert_to_tensor(value) for key, value in batch.items()})
        if self._first:
            self._first = False
            release_memory()
        return terms
