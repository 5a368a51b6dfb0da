"""PyTorch's `ExportedProgram` (`.pt2`), which runs without Keras."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from usrn_keras.export.signature import SIZE_MULTIPLE


def write_torch(model: keras.Model, path: Path, input_size: tuple[int, int] | None) -> None:
    """Write `path`; batch, height and width are free unless `input_size` is given."""
    import torch

    torch.export.save(trace(model, input_size), path)


def trace(model: keras.Model, input_size: tuple[int, int] | None) -> Any:
    """The model as a `torch.export.ExportedProgram` of `images`, with its weights as parameters.

    `keras.Model.export(format="torch")` stores every weight twice, once as a constant, so that
    moving the program to another device would not move what it computes with (Keras 3.15).
    """
    import torch

    free = {0: torch.export.Dim("batch")}
    if input_size is None:
        free |= {axis: SIZE_MULTIPLE * torch.export.Dim(side) for axis, side in [(1, "height"), (2, "width")]}
    # A batch of 2 and sides above 32, because torch.export takes sizes of 1 for constants.
    images = torch.zeros((2, *(input_size or (96, 160)), 3))
    with torch.no_grad():
        return torch.export.export(stateless_module(model), (images,), dynamic_shapes=(free,), strict=False)


def stateless_module(model: keras.Model) -> Any:
    """A `torch.nn.Module` that computes with its own parameters, which are the model's."""
    import torch

    class Stateless(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trainable = torch.nn.ParameterList([v.value for v in model.trainable_variables])
            self.fixed = torch.nn.ParameterList([v.value for v in model.non_trainable_variables])

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            weights = list(self.trainable), list(self.fixed)
            return model.stateless_call(*weights, images, training=False)[0]

    return Stateless()


def run_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported model as a function of numpy arrays."""
    import torch

    module = torch.export.load(path).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run
