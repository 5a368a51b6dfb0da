"""Operations of a training step of a recipe: counted after training, and before it for equal computation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from usrn_keras.backends import prepare_backend
from usrn_keras.data import Dataset
from usrn_keras.methods import Method
from usrn_keras.networks.operations import step_flops
from usrn_keras.recipe import Recipe, build_recipe
from usrn_keras.stages.backbone_features import parts_of_a_step
from usrn_keras.stages.build import build_method
from usrn_keras.stages.dry_run import look_at_data
from usrn_keras.stages.memory_advice import training_stages
from usrn_keras.stages.step_trial import made_up_subclasses
from usrn_keras.worker import Worker

TARGET = "usrn_keras.stages.step_operations:count_in_worker"


def operations_per_step(method: Method, recipe: Recipe) -> int:
    """Count the floating-point operations of a training step of a method.

    Args:
        method: The method.
        recipe: Its recipe, which has the batch sizes and the crop.
    """
    training, crop = recipe.training, recipe.views.crop_size
    batches = (training.batch_labelled, training.batch_unlabelled)
    found = step_flops(method, *batches, crop, crop, parts_of_a_step(recipe))
    return sum(found.values())


class TrainingOperations(NamedTuple):
    """Operations of all training steps after the Baseline.

    Attributes:
        method: Of the stages whose number of steps is `training.usrn_steps`.
        other: Of other stages, such as the training of a teacher.
    """

    method: int
    other: int = 0


def operations_of_training(recipes: Sequence[Recipe]) -> list[TrainingOperations]:
    """Count the operations of all training steps after the Baseline of each recipe, in a child process.

    Args:
        recipes: The recipes, whose data sets are read for the numbers of classes and subclasses.

    Raises:
        USRNError: A network cannot be built.
    """
    asked = [
        {"recipe": one.model_dump(mode="json"), "name": one.name, "subclasses": _counts(one).tolist()}
        for one in recipes
    ]
    environment = {"KERAS_BACKEND": keras.backend.backend()}
    with Worker(TARGET, {"recipes": asked}, environment) as worker:
        return [TrainingOperations(*found) for found in worker.result()["operations"]]


def count_in_worker(order: dict[str, Any], send: Callable[[dict], None]) -> dict[str, Any]:
    """Build the methods of recipes, and count; runs in the child process.

    Args:
        order: `recipes`, each with its values, its name and the number of subclasses of each class.
        send: Not used.
    """
    prepare_backend()
    operations = []
    for one in order["recipes"]:
        recipe, counts = build_recipe(one["recipe"], one["name"]), one["subclasses"]
        operations.append(_operations(recipe, counts))
    return {"operations": operations}


def _operations(recipe: Recipe, counts: Sequence[int]) -> TrainingOperations:
    classes = tuple(map(str, range(len(counts))))
    dataset = Dataset("made up", classes, np.zeros((len(counts), 3), np.uint8), (), (), ())
    operations = {True: 0, False: 0}
    for stage in training_stages(recipe)[1:]:
        method = build_method(recipe, stage, dataset, made_up_subclasses(counts), pretrained=False)
        scales = stage.steps_key == "training.usrn_steps"
        operations[scales] += stage.length * operations_per_step(method, recipe)
    return TrainingOperations(operations[True], operations[False])


def _counts(recipe: Recipe) -> np.ndarray:
    _, counts, _ = look_at_data(recipe, Path())
    return counts
