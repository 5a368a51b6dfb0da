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
    """The model as a `torch.export.ExportedProgram`.

    What `keras.Model.export(format="torch")` does too, but that only writes a file, and a program
    read from a file is no longer one that `torch.onnx` converts (torch 2.13).
    """
    import torch

    free = {0: torch.export.Dim("batch")}
    if input_size is None:
        free |= {axis: SIZE_MULTIPLE * torch.export.Dim(side) for axis, side in [(1, "height"), (2, "width")]}
    # A batch of 2 and sides above 32, because torch.export takes sizes of 1 for constants.
    images = keras.ops.zeros((2, *(input_size or (96, 160)), 3))
    with torch.no_grad():
        return torch.export.export(model, (images,), dynamic_shapes=[(free,)], strict=False)


def run_torch(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """The exported model as a function of numpy arrays."""
    import torch

    module = torch.export.load(path).module()

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(images)).numpy()

    return run
