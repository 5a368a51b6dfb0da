"""The training step on JAX: a pure function of the state, compiled once, its buffers donated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import keras

from usrn_keras.backends.freed import give_back_freed_memory
from usrn_keras.training.parts import Part, sum_of_parts, takes_parts


class TrainStep:
    """Mixin: Keras' `train_step(state, data)` from `loss_parts(batch)`."""

    def train_step(self, state: tuple, data: Any) -> tuple[dict[str, Any], tuple]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        trainable, non_trainable, optimizer, metrics = state
        update = _lean_update if takes_parts(self.optimizer) else _plain_update
        terms, trainable, non_trainable, optimizer = update(self, batch, trainable, non_trainable, optimizer)
        return terms, (trainable, non_trainable, optimizer, metrics)


def _lean_update(model: Any, batch: Any, trainable: list, non_trainable: list, optimizer: list) -> tuple:
    """The gradients of each part go into the momentum before those of the next one are taken."""
    terms = []
    for index in range(len(model.loss_parts(batch))):
        gradients, part, non_trainable = _gradients(model, batch, index, trainable, non_trainable)
        with _scope(model, trainable, optimizer) as scope:
            for gradient, variable in zip(gradients, model.trainable_variables, strict=True):
                model.optimizer.add_gradient(gradient, variable, first=index == 0)
        optimizer = _current(scope, model.optimizer.variables)
        terms.append(part)
        # The next part begins when this one has ended, or the activations of both would be in memory.
        trainable, non_trainable, optimizer = jax.lax.optimization_barrier(
            (trainable, non_trainable, optimizer)
        )
    with _scope(model, trainable, optimizer) as scope:
        model.optimizer.take_step()
    trainable = _current(scope, model.trainable_variables)
    return sum_of_parts(terms), trainable, non_trainable, _current(scope, model.optimizer.variables)


def _plain_update(model: Any, batch: Any, trainable: list, non_trainable: list, optimizer: list) -> tuple:
    """Any optimizer of Keras: the gradients are summed, then applied."""
    terms, total = [], None
    for index in range(len(model.loss_parts(batch))):
        gradients, part, non_trainable = _gradients(model, batch, index, trainable, non_trainable)
        total = gradients if total is None else [a + b for a, b in zip(total, gradients, strict=True)]
        terms.append(part)
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, total, trainable)
    return sum_of_parts(terms), trainable, non_trainable, optimizer


def _gradients(model: Any, batch: Any, index: int, trainable: list, non_trainable: list) -> tuple:
    """Gradients of a part of the objective, its terms, and the non-trainable variables after it."""

    def loss(trainable: list) -> tuple:
        mapping = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            part: Part = model.loss_parts(batch)[index]
            terms = part()
        return terms["loss"], (terms, _current(scope, model.non_trainable_variables))

    gradients, (terms, non_trainable) = jax.grad(loss, has_aux=True)(trainable)
    return gradients, terms, non_trainable


def _scope(model: Any, trainable: list, optimizer: list) -> keras.StatelessScope:
    mapping = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.optimizer.variables, optimizer, strict=True),
    ]
    return keras.StatelessScope(state_mapping=mapping)


def _current(scope: keras.StatelessScope, variables: list) -> list:
    values = [(scope.get_current_value(variable), variable) for variable in variables]
    return [variable.value if value is None else value for value, variable in values]


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model.

    The variables of the model hold the state: each step takes their buffers and gives them new ones, so
    that there is one set of weights and momentum in memory.
    """

    def __init__(self, model: Any):
        self._variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            [],
        )
        self._function = jax.jit(model.train_step, donate_argnums=0, compiler_options=_compiler_options())
        self._first = True
        _separate(self._variables)
        give_back_freed_memory()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        state = tuple([variable.value for variable in variables] for variables in self._variables)
        terms, state = self._function(state, batch)
        for variables, values in zip(self._variables, state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable._value = value
        if self._first:
            self._first = False
            give_back_freed_memory()
        return terms

    def sync(self) -> None:
        """Write the state into the model's variables: it is there already."""


def _compiler_options() -> dict[str, str]:
    """On a CPU, XLA orders a program for concurrency and keeps all gradients of a part at once; we do not."""
    if jax.default_backend() != "cpu":
        return {}
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}


def _separate(variables: Sequence[Sequence[keras.Variable]]) -> None:
    """Give each variable a buffer of its own: one buffer cannot be donated twice."""
    seen = set()
    for variable in (variable for part in variables for variable in part):
        pointer = variable.value.unsafe_buffer_pointer()
        if pointer in seen:
            variable._value = variable.value + 0
        seen.add(variable.value.unsafe_buffer_pointer())
