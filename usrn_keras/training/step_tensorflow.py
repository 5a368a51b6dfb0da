"""The training step on TensorFlow: one graph of TensorFlow's own kernels, updates in place."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from usrn_keras.backends.freed import give_back_freed_memory
from usrn_keras.training.parts import sum_of_parts, takes_parts
from usrn_keras.training.sgd import SGD

Gradients = list[tf.Tensor | None]


class TrainStep:
    """Mixin: Keras' `train_step(data)` from `loss_parts(batch)`."""

    def train_step(self, data: Any) -> dict[str, Any]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        if not self.optimizer.built:  # Keras' trainer builds it in the first step, inside the graph
            with tf.init_scope():
                self.optimizer.build(self.trainable_variables)
        return (_lean_step if takes_parts(self.optimizer) else _plain_step)(self, batch)


def _lean_step(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """The gradients of each part go into the momentum before the next part begins."""
    parts = len(model.loss_parts(batch))
    rate = tf.convert_to_tensor(model.optimizer.learning_rate)
    terms, before = [], []
    for index in range(parts):
        with tf.control_dependencies(before):  # or the activations of both parts would be in memory
            gradients, part = _gradients(model, batch, index)
        terms.append(part)
        last = index == parts - 1
        taken = [
            # A part that does not know a variable adds nothing to its gradient.
            _take_in(
                model.optimizer,
                variable,
                tf.zeros_like(variable.value) if gradient is None else gradient,
                rate if last else 0 * rate,
                first=index == 0,
            )
            for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        ]
        before = [tf.group(taken)]
    model.optimizer.iterations.assign_add(1)
    return sum_of_parts(terms)


def _take_in(
    optimizer: SGD, variable: keras.Variable, gradient: tf.Tensor, rate: tf.Tensor, *, first: bool
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


def _plain_step(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """Any optimizer of Keras: the gradients are summed, then applied."""
    terms, total = [], None
    for index in range(len(model.loss_parts(batch))):
        gradients, part = _gradients(model, batch, index)
        total = gradients if total is None else [_sum(a, b) for a, b in zip(total, gradients, strict=True)]
        terms.append(part)
    # The terms of the objective may not know a variable: F_sub without MSL and SST.
    known = [pair for pair in zip(total, model.trainable_variables, strict=True) if pair[0] is not None]
    model.optimizer.apply(*map(list, zip(*known, strict=True)))
    return sum_of_parts(terms)


def _gradients(model: Any, batch: dict[str, Any], index: int) -> tuple[Gradients, dict[str, Any]]:
    with tf.GradientTape() as tape:
        terms = model.loss_parts(batch)[index]()
    return tape.gradient(terms["loss"], model.trainable_variables), terms


def _sum(a: tf.Tensor | None, b: tf.Tensor | None) -> tf.Tensor | None:
    return a if b is None else b if a is None else a + b


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model."""

    def __init__(self, model: Any):
        self._function = tf.function(model.train_step, reduce_retracing=True)
        self._first = True
        give_back_freed_memory()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        terms = self._function({key: tf.convert_to_tensor(value) for key, value in batch.items()})
        if self._first:
            self._first = False
            give_back_freed_memory()
        return terms

    def sync(self) -> None:
        """Write the state into the model's variables: it is there already."""
