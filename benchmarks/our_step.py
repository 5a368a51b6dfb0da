"""Worker of `train_step.py`: a training step of USRN by this package, on the backend of KERAS_BACKEND.

The batch is what `Batches` gives: uint8 images and the parameters of the strong view, in host memory. The
step takes them to the device, makes the strong view, computes losses and gradients, updates the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import device_of
from benchmarks.timed_step import TimedStep, made_batch, parents
from benchmarks.worker import serve
from usrn_keras.backends import CompiledStep, prepare_backend
from usrn_keras.methods import USRN
from usrn_keras.networks import build_branches
from usrn_keras.networks.operations import step_flops
from usrn_keras.optimizers import SGD
from usrn_keras.strong_view import StrongView


def build_model(options: dict) -> USRN:
    """USRN as the recipes build it, compiled, with random weights."""
    keras.config.set_dtype_policy(options["precision"])
    classes, subclasses = options["classes"], options["subclasses"]
    network = options.get("network", {})
    branches = build_branches(
        options["backbone"], classes=classes, subclasses=subclasses, weights="none", **network
    )
    joint = options.get("joint_views", False)
    model = USRN(*branches, parents(classes, subclasses), joint_views=joint)
    optimizer = SGD(0.01)
    optimizer.multiply_learning_rate(model.slow_variables(), 0.1)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    return model


class OurStep(TimedStep):
    """A compiled step and its batch."""

    def __init__(self, options: dict):
        prepare_backend()
        backend = keras.backend.backend()
        versions = f"keras {keras.__version__}, {backend} {sys.modules[backend].__version__}"
        super().__init__(device_of(backend, options["device"]), versions)
        self.model, self._size = build_model(options), (options["batch"], options["crop"])
        self._step = CompiledStep(self.model)
        self._batch = made_batch(*self._size, options["classes"], options["subclasses"])
        self._batch["strong_parameters"] = StrongView().draw(np.random.default_rng(1), options["batch"])

    def launch(self) -> Any:
        return self._step(self._batch)["loss"]

    def flops(self) -> int:
        batch, crop = self._size
        return sum(step_flops(self.model, batch, batch, crop, crop).values())


if __name__ == "__main__":
    serve(OurStep)
