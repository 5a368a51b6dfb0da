"""The training step on TensorFlow: gradient tape, one XLA-compiled function."""

from __future__ import annotations

import contextlib
from typing import Any

import tensorflow as tf

no_gradient = contextlib.nullcontext  # the pseudo labels stop the gradient; the graph is pruned


class TrainStep:
    """Mixin: Keras' `train_step(data)` from `loss_terms(batch)`."""

    def train_step(self, data: Any) -> dict[str, Any]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        with tf.GradientTape() as tape:
            terms = self.loss_terms(batch)
        gradients = tape.gradient(terms["loss"], self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return terms


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model."""

    def __init__(self, model: Any):
        # jit_compile: without XLA, TensorFlow's dilated convolutions are about ten times slower on a CPU.
        self._function = tf.function(model.train_step, jit_compile=True, reduce_retracing=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self._function({key: tf.convert_to_tensor(value) for key, value in batch.items()})

    def sync(self) -> None:
        """Write the state into the model's variables: it is there already."""
