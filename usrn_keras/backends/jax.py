"""JAX: graphs with `keras.ops`, and one compiled program per step with donated buffers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from jax.experimental.compilation_cache.compilation_cache import reset_cache
from keras import layers

from usrn_keras.backends import layer_operations
from usrn_keras.backends.jax_ranks import current_ranks, join, leave, on_all, training_mesh
from usrn_keras.backends.steps import (
    Terms,
    accepts_partial_gradients,
    release_memory,
    sum_of_terms,
)
from usrn_keras.machine import has_nvidia_gpu

# Pseudo labels stop the gradient, and the compiler removes the operations that only a gradient needs.
no_gradient = contextlib.nullcontext
join_ranks, leave_ranks = join, leave
COMPILES = True
OPERATIONS_ON_CPU = layer_operations.OPERATIONS | {layers.DepthwiseConv2D: layer_operations.depthwise_by_taps}


_settings = {"deterministic": False}


def prepare(programs: Path) -> None:
    """Cache compiled programs in a folder, and let GPUs multiply float32 matrices in TensorFloat-32."""
    if has_nvidia_gpu() and jax.config.jax_default_matmul_precision is None:
        jax.config.update("jax_default_matmul_precision", "tensorfloat32")
    cache_programs(programs)


def cache_programs(programs: Path) -> None:
    """Cache compiled programs in a folder, so that the next run of the same network starts faster."""
    if not jax.config.jax_compilation_cache_dir:
        jax.config.update("jax_compilation_cache_dir", str(programs))
    # Building a network compiles hundreds of small programs, one for each shape of weights.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def set_deterministic(deterministic: bool) -> None:
    """Let the compiler choose kernels for a GPU that give the same bits every time, or the fastest ones."""
    _settings["deterministic"] = deterministic


def fetch(terms: Sequence[Terms]) -> list[dict[str, float]]:
    """Copy loss terms of several steps to the host, at once."""
    return [{name: float(value) for name, value in one.items()} for one in jax.device_get(list(terms))]


@contextlib.contextmanager
def without_program_cache() -> Iterator[None]:
    """Compile every program within this block, even if the cache has it."""
    jax.config.update("jax_enable_compilation_cache", False)
    reset_cache()
    try:
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
        reset_cache()


def run_graph(model: Any, inputs: Any, training: bool | None) -> Any:
    """Compute `model(inputs, training=training)` with less tracing time; see `layer_operations.run_with`."""
    operations = layer_operations.OPERATIONS if on_accelerator() else OPERATIONS_ON_CPU
    return layer_operations.run_with(operations, model, inputs, training)


def compile_forward(model: keras.Model, function: Callable) -> Callable:
    """Compile `function(network, images)` without gradients for each shape of images.

    Args:
        model: Network that the function receives.
        function: Function of the network and the images.

    Returns:
        A function of the images.
    """
    variables = model.variables

    @jax.jit
    def program(values: list, images: Any) -> Any:
        with keras.StatelessScope(state_mapping=zip(variables, values, strict=True)):
            return function(partial(run_graph, model, training=False), images)

    return lambda images: program([variable.value for variable in variables], images)


def number_of_devices() -> int:
    """Number of devices that this process can train on."""
    return jax.local_device_count()


def on_accelerator() -> bool:
    """Whether the default device is not a CPU."""
    return jax.default_backend() != "cpu"


def device_names() -> list[str]:
    """Names of the GPUs; empty without one."""
    return [device.device_kind for device in jax.local_devices() if device.platform != "cpu"]


def available_gpu_memory() -> int | None:
    """Bytes of GPU memory that JAX preallocates; None if unknown."""
    return (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")


def gpu_peak_memory() -> Callable[[], int] | None:
    """Function that returns the peak memory of the GPU in bytes; None on a CPU."""
    device = jax.local_devices()[0]
    return None if device.platform == "cpu" else lambda: device.memory_stats()["peak_bytes_in_use"]


def input_gradient(function: Callable[[Any], Any], values: Any) -> Any:
    """Compute the gradient of a scalar function by its argument, also within a part without gradient.

    Args:
        function: Function of a tensor.
        values: Tensor at which the gradient is computed; the gradient itself has none.
    """
    return jax.lax.stop_gradient(jax.grad(function)(jax.lax.stop_gradient(values)))


def train_step(method: Any, state: tuple, data: Any) -> tuple[Terms, tuple]:
    """Implement `train_step` of Keras; the state is `(trainable, non_trainable, optimizer, metrics)`."""
    batch = method.batch_of(data)
    terms, context, *values = _update(method, batch, *state[:3])
    with _scope((method.metrics_variables, state[3])) as scope:
        logs = method.step_logs(batch, terms, context)
    return logs, (*values, _current(scope, method.metrics_variables))


def _update(method: Any, batch: Any, trainable: list, non_trainable: list, optimizer: list) -> tuple:
    """Compute one step as a pure function: terms, context, and the new values of all variables."""
    by_parts = accepts_partial_gradients(method.optimizer)
    update = _update_by_parts if by_parts else _update_by_sum
    return update(method, batch, trainable, non_trainable, optimizer)


def _update_by_parts(method: Any, batch: Any, trainable: list, non_trainable: list, optimizer: list) -> tuple:
    """Add the gradients of each part to the momentum before the next part is computed."""
    terms, context, started = [], {}, set()
    for part in method.loss_parts():
        gradients, found, context, non_trainable = _gradients(
            method, part, batch, context, trainable, non_trainable
        )
        with _scope(
            (method.trainable_variables, trainable), (method.optimizer.variables, optimizer)
        ) as scope:
            for gradient, variable in zip(gradients, part.trains, strict=True):
                method.optimizer.add_gradient(gradient, variable, first=id(variable) not in started)
                started.add(id(variable))
        optimizer = _current(scope, method.optimizer.variables)
        terms.append(found)
        # The next part waits for this one; otherwise the activations of both would be in memory.
        trainable, non_trainable, optimizer, context = jax.lax.optimization_barrier(
            (trainable, non_trainable, optimizer, context)
        )
    with _scope((method.trainable_variables, trainable), (method.optimizer.variables, optimizer)) as scope:
        method.optimizer.take_step([v for v in method.trainable_variables if id(v) in started])
    trainable = _current(scope, method.trainable_variables)
    optimizer = _current(scope, method.optimizer.variables)
    return sum_of_terms(terms), context, trainable, non_trainable, optimizer


def _update_by_sum(method: Any, batch: Any, trainable: list, non_trainable: list, optimizer: list) -> tuple:
    """Sum the gradients of all parts and apply them, with any Keras optimizer."""
    terms, context, total = [], {}, {}
    for part in method.loss_parts():
        gradients, found, context, non_trainable = _gradients(
            method, part, batch, context, trainable, non_trainable
        )
        for gradient, variable in zip(gradients, part.trains, strict=True):
            key = id(variable)
            total[key] = total[key] + gradient if key in total else gradient
        terms.append(found)
    known = [variable for variable in method.trainable_variables if id(variable) in total]
    with _scope((method.trainable_variables, trainable), (method.optimizer.variables, optimizer)) as scope:
        method.optimizer.apply([total[id(variable)] for variable in known], known)
    trainable = _current(scope, method.trainable_variables)
    optimizer = _current(scope, method.optimizer.variables)
    return sum_of_terms(terms), context, trainable, non_trainable, optimizer


def _gradients(
    method: Any, part: Any, batch: Any, context: dict, trainable: list, non_trainable: list
) -> tuple:
    """Compute the gradients of a part, its terms, and the context and state after it."""
    places = {id(variable): place for place, variable in enumerate(method.trainable_variables)}
    trained = [places[id(variable)] for variable in part.trains]

    def compute(values: list) -> tuple:
        current = list(trainable)
        for place, value in zip(trained, values, strict=True):
            current[place] = value
        with _scope(
            (method.trainable_variables, current), (method.non_trainable_variables, non_trainable)
        ) as scope:
            terms, found = part.compute(batch, context)
        found = {**context, **jax.lax.stop_gradient(found)}
        return terms.get("loss", 0.0), (terms, found, _current(scope, method.non_trainable_variables))

    values = [trainable[place] for place in trained]
    if not trained:
        _, (terms, context, non_trainable) = compute(values)
        return [], terms, context, non_trainable
    gradients, (terms, context, non_trainable) = jax.grad(compute, has_aux=True)(values)
    return gradients, terms, context, non_trainable


def _scope(*pairs: tuple[Sequence[keras.Variable], Sequence[Any]]) -> keras.StatelessScope:
    mapping = [pair for variables, values in pairs for pair in zip(variables, values, strict=True)]
    return keras.StatelessScope(state_mapping=mapping)


def _current(scope: keras.StatelessScope, variables: Sequence[keras.Variable]) -> list:
    values = [(scope.get_current_value(variable), variable) for variable in variables]
    return [variable.value if value is None else value for value, variable in values]


class CompiledStep:
    """Training step of a compiled method: `step(batch)` -> loss terms on the device.

    The variables of the method hold the state. Each step donates their buffers and assigns the new ones, so
    that memory holds one set of weights and momentum.

    On several devices each computes a part of every batch; the compiler adds what belongs together, so that
    losses, gradients and batch statistics are those of the whole batch. One device of each of several
    processes does the same, and each process gives its part of the batch.

    Args:
        method: Compiled method.
        devices: Number of devices of this process to train on; batch sizes must be divisible by it.
    """

    def __init__(self, method: Any, devices: int = 1):
        self._variables = (
            method.trainable_variables,
            method.non_trainable_variables,
            method.optimizer.variables,
        )

        def update(state: tuple, batch: dict) -> tuple:
            terms, _, *values = _update(method, batch, *state)
            return terms, tuple(values)

        shardings = {}
        self._rows = None
        self._processes = current_ranks().world
        if devices * self._processes > 1:
            mesh = training_mesh(devices)
            self._rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
            self._whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
            shardings = {"out_shardings": self._whole}
        self._function = jax.jit(update, donate_argnums=0, compiler_options=_compiler_options(), **shardings)
        self._first = True
        _copy_shared_buffers(self._variables)
        if devices > 1:
            for variable in (variable for part in self._variables for variable in part):
                variable._value = jax.device_put(variable.value, self._whole)
        release_memory()

    def __call__(self, batch: dict[str, Any]) -> Terms:
        state = tuple([variable.value for variable in variables] for variables in self._variables)
        if self._processes > 1:
            state = tuple([on_all(value, self._whole) for value in values] for values in state)
        if self._rows is not None:
            batch = {
                name: jax.make_array_from_process_local_data(
                    self._rows if np.ndim(value) else self._whole, np.asarray(value)
                )
                for name, value in batch.items()
            }
        terms, state = self._function(state, batch)
        for variables, values in zip(self._variables, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable._value = value
        if self._first:
            self._first = False
            release_memory()
        return terms


def _compiler_options() -> dict[str, Any]:
    """Schedule for low memory on a CPU, where XLA would keep all gradients of a part for concurrency.

    JAX before 0.10 has no such option, and takes more memory.
    """
    if on_accelerator():
        return {"xla_gpu_deterministic_ops": True} if _settings["deterministic"] else {}
    if jax.__version_info__ < (0, 10):
        return {}
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def _copy_shared_buffers(variables: Sequence[Sequence[keras.Variable]]) -> None:
    """Give each variable its own buffer, because a buffer cannot be donated twice."""
    seen = set()
    for variable in (variable for part in variables for variable in part):
        pointer = variable.value.unsafe_buffer_pointer()
        if pointer in seen:
            variable._value = variable.value + 0
        seen.add(variable.value.unsafe_buffer_pointer())
