"""Worker of `train_step.py`: the rate of a matrix product, what a step's operations are held against.

On a CPU numpy's in float32 on all its threads; on a GPU that of the library of KERAS_BACKEND, in the
precision of the step.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import Host, device_of
from benchmarks.timed_step import TimedStep
from benchmarks.worker import serve

SIDE = {"cpu": 2048, "gpu": 8192}
PRODUCTS = {"cpu": 2, "gpu": 32}  # one after the other; a tenth of a second or more together


class MatrixProducts(TimedStep):
    """Products of square matrices; all of them are a step."""

    def __init__(self, options: dict):
        self._count, self._side = PRODUCTS[options["device"]], options.get("side", SIDE[options["device"]])
        scale = self._side**-0.5  # keeps the products from growing
        right = np.random.default_rng(0).normal(0, scale, (self._side, self._side)).astype(np.float32)
        if options["device"] == "cpu":
            super().__init__(Host(), f"numpy {np.__version__}")
            self._right, self._product = right, np.matmul
            return
        import keras

        super().__init__(device_of(keras.backend.backend(), "gpu"), f"keras {keras.__version__}")
        dtype = "bfloat16" if options["precision"] == "mixed_bfloat16" else "float32"
        self._right, self._product = keras.ops.convert_to_tensor(right, dtype), keras.ops.matmul

    def launch(self) -> Any:
        left = self._right
        for _ in range(self._count):
            left = self._product(left, self._right)
        return left[0, 0]

    def flops(self) -> int:
        return 2 * self._count * self._side**3


if __name__ == "__main__":
    serve(MatrixProducts)
