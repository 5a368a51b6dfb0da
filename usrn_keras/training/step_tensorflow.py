"""The training step on TensorFlow: one graph, with TensorFlow's own kernels."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from usrn_keras.training.optimizer import SGD
from usrn_keras.training.parts import sum_of_parts


class TrainStep:
    """Mixin: Keras' `train_step(data)` from `loss_parts(batch)`."""

    def train_step(self, data: Any) -> dict[str, Any]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        variables = self.trainable_variables
        lean = isinstance(self.optimizer, SGD) and not self.optimizer.gradient_accumulation_steps
        terms, total = [], None
        for index in range(len(self.loss_parts(batch))):
            # The next part begins when this one has ended, or the activations of both would be in memory.
            with tf.control_dependencies([] if index == 0 else [terms[-1]["loss"]]):
                gradients, part = _gradients(self, batch, index)
            terms.append(part)
            if lean:
                for gradient, variable in zip(gradients, variables, strict=True):
                    self.optimizer.add_gradient(gradient, variable, first=index == 0)
            else:
                total = gradients if total is None else [a + b for a, b in zip(total, gradients, strict=True)]
        if lean:
            self.optimizer.take_step()
        else:
            self.optimizer.apply(total, variables)
        return sum_of_parts(terms)


def _gradients(model: Any, batch: dict[str, Any], index: int) -> tuple[list, dict[str, Any]]:
    with tf.GradientTape() as tape:
        terms = model.loss_parts(batch)[index]()
    return tape.gradient(terms["loss"], model.trainable_variables), terms


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model."""

    def __init__(self, model: Any):
        self._function = tf.function(model.train_step, reduce_retracing=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._function({key: tf.convert_to_tensor(value) for key, value in batch.items()})

    def sync(self) -> None:
        """Write the state into the model's variables: it is there already."""
