"""The training step on JAX: a pure function of the state, whose buffers are donated."""

from __future__ import annotations

import contextlib
from typing import Any

import jax
import keras

no_gradient = contextlib.nullcontext  # the pseudo labels stop the gradient; XLA prunes the rest


class TrainStep:
    """Mixin: Keras' `train_step(state, data)` from `loss_terms(batch)`."""

    def train_step(self, state: tuple, data: Any) -> tuple[dict[str, Any], tuple]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        trainable, non_trainable, optimizer, metrics = state

        def loss_and_state(trainable: list) -> tuple:
            mapping = [
                *zip(self.trainable_variables, trainable, strict=True),
                *zip(self.non_trainable_variables, non_trainable, strict=True),
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                terms = self.loss_terms(batch)
            updated = [_current(scope, variable) for variable in self.non_trainable_variables]
            return terms["loss"], (terms, updated)

        gradients, (terms, non_trainable) = jax.grad(loss_and_state, has_aux=True)(trainable)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return terms, (trainable, non_trainable, optimizer, metrics)


def _current(scope: keras.StatelessScope, variable: keras.Variable) -> Any:
    value = scope.get_current_value(variable)
    return variable.value if value is None else value


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model.

    The state lives outside the model between two calls of `sync`.
    """

    def __init__(self, model: Any):
        self._model = model
        self._function = jax.jit(model.train_step, donate_argnums=0)
        # Copies: donation would invalidate the buffers that the model's variables hold.
        self._state = jax.tree.map(lambda variable: variable.value + 0, self._variables())

    def _variables(self) -> tuple[list, list, list, list]:
        model = self._model
        return (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            [],
        )

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        terms, self._state = self._function(self._state, batch)
        return terms

    def sync(self) -> None:
        """Write the state into the model's variables."""
        copies = jax.tree.map(lambda value: value + 0, self._state)
        for variables, values in zip(self._variables(), copies, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
