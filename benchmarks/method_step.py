"""Worker of `methods.py`: a training step of any method of a recipe, on one batch of its images.

The network has random weights, and the subclasses are stripes: no other stage is trained first.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import device_of
from benchmarks.fed_step import made_subclasses
from benchmarks.timed_step import TimedStep
from benchmarks.worker import serve
from usrn_keras.backends import CompiledStep, prepare_backend
from usrn_keras.data import load_dataset
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.methods import stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.stages.build import build_method
from usrn_keras.stages.step_operations import operations_per_step


class MethodStep(TimedStep):
    """A compiled step of the last stage of a recipe, and its first batch."""

    def __init__(self, options: dict):
        prepare_backend()
        backend = keras.backend.backend()
        versions = f"keras {keras.__version__}, {backend} {sys.modules[backend].__version__}"
        super().__init__(device_of(backend, options["device"]), versions)
        self._recipe = recipe = load_recipe(options["recipe"], options["set"])
        dataset = load_dataset(recipe.data)
        subclasses, labelled = made_subclasses(
            dataset, recipe.subclasses.size_factor, Path(options["folder"])
        )
        stage = [stage for stage in stages_of(recipe) if isinstance(stage, Train)][-1]
        self._method = build_method(recipe, stage, dataset, subclasses, pretrained=False)
        spec = self._method.inputs
        pseudo = labelled if spec.pseudo else ()  # masks in the place of predicted ones
        batches = build_batches(
            recipe, dataset, labelled, spec=spec, pseudo=pseudo, parents=subclasses.parents
        )
        self._batch = batches.batch(0) | ({"progress": np.float32(0.5)} if spec.progress else {})
        self._step = CompiledStep(self._method)

    def launch(self) -> Any:
        return self._step(self._batch)["loss"]

    def flops(self) -> int:
        return operations_per_step(self._method, self._recipe)


if __name__ == "__main__":
    serve(MethodStep)
