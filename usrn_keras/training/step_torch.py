"""The training step on PyTorch: eager autograd."""

from __future__ import annotations

from typing import Any

import keras
import torch

no_gradient = torch.no_grad


class TrainStep:
    """Mixin: Keras' `train_step(data)` from `loss_terms(batch)`."""

    def train_step(self, data: Any) -> dict[str, Any]:
        batch = data[0] if isinstance(data, (tuple, list)) else data
        self.zero_grad()
        terms = self.loss_terms(batch)
        terms["loss"].backward()
        gradients = [variable.value.grad for variable in self.trainable_variables]
        with torch.no_grad():
            self.optimizer.apply(gradients, self.trainable_variables)
        return {name: term.detach() for name, term in terms.items()}


class CompiledStep:
    """`step(batch)` -> loss terms on the device, for a compiled model."""

    def __init__(self, model: Any):
        self._model = model

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        tensors = {key: keras.ops.convert_to_tensor(value) for key, value in batch.items()}
        return self._model.train_step(tensors)

    def sync(self) -> None:
        """Write the state into the model's variables: it is there already."""
