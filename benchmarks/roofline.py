"""Worker of `train_step.py`: the rate of a matrix product, what a step's operations are held against.

On a CPU numpy's in float32 on all its threads; on a GPU that of the library of KERAS_BACKEND, in the
precision of the step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import Host, device_of
from benchmarks.worker import serve

SIDE = {"cpu": 2048, "gpu": 8192}
PRODUCTS = {"cpu": 2, "gpu": 32}  # one after the other; a tenth of a second or more together


class MatrixProducts:
    """Products of square matrices; all of them are a step."""

    def __init__(self, options: dict):
        self._count, side = PRODUCTS[options["device"]], options.get("side", SIDE[options["device"]])
        right = np.random.default_rng(0).normal(0, side**-0.5, (side, side)).astype(np.float32)
        self._device, self._right, self._product = Host(), right, np.matmul
        if options["device"] == "gpu":
            import keras

            self._device = device_of(keras.backend.backend(), "gpu")
            dtype = "bfloat16" if options["precision"] == "mixed_bfloat16" else "float32"
            self._right, self._product = keras.ops.convert_to_tensor(right, dtype), keras.ops.matmul
        self.facts = {"device": self._device.name(), "versions": f"numpy {np.__version__}"}
        self.flops = lambda: 2 * self._count * side**3
        self.peak_memory, self.reset_peak_memory = self._device.peak_memory, self._device.reset_peak_memory

    def __call__(self) -> float:
        left = self._right  # its scale keeps the products from growing
        for _ in range(self._count):
            left = self._product(left, self._right)
        self._device.wait()
        return float(left[0, 0])


if __name__ == "__main__":
    serve(MatrixProducts)
