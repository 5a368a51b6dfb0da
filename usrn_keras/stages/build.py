"""Methods of a recipe: networks, objective, optimizer. The only place that reads the recipe for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from usrn_keras.backends import COMPILES, set_deterministic
from usrn_keras.data import Dataset
from usrn_keras.lazy_imports import suppress_native_stderr
from usrn_keras.methods import Method, Network, SecondHead, find_method
from usrn_keras.networks import Branch, build_branches
from usrn_keras.networks.decoders.psanet import psa_mask_size
from usrn_keras.optimizers import SGD, AdamW
from usrn_keras.optional import without_tensorflow
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.subclasses import SubclassMap


def build_method(
    recipe: Recipe,
    stage: Train,
    dataset: Dataset,
    subclasses: SubclassMap | None = None,
    *,
    pretrained: bool = True,
) -> Method:
    """The method of a training stage, compiled.

    Args:
        recipe: The recipe of the run.
        stage: The stage.
        dataset: Its classes give the channels of F.
        subclasses: The subclasses, for a method that needs them.
        pretrained: Whether to load the weights of the backbone; without, the weights are restored next.
    """
    seed_everything(recipe)
    is_own = stage.method == recipe.training.method  # and not the Baseline before it
    with_usrn = is_own and recipe.training.with_usrn
    builder = Builder(recipe, dataset, subclasses, pretrained, with_usrn=with_usrn, pseudo=bool(stage.labels))
    method = find_method(stage.method).from_recipe(recipe.options if is_own else None, builder)
    compile_method(method, recipe, stage)
    return method


class Builder:
    """What `Method.from_recipe` builds a method of.

    Args:
        recipe: The recipe.
        dataset: Its classes give the channels of F.
        subclasses: The subclasses; None where they are not known.
        pretrained: Whether to load the weights of the backbone.
        with_usrn: Whether USRN is put on top of the method.
        pseudo: Whether the stage is trained on pseudo masks.
    """

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        subclasses: SubclassMap | None = None,
        pretrained: bool = True,
        *,
        with_usrn: bool = False,
        pseudo: bool = False,
    ):
        self.recipe = recipe
        self.dataset = dataset
        self.subclasses = subclasses
        self.pretrained = pretrained
        self.with_usrn = with_usrn
        self.pseudo = pseudo

    @property
    def ignore_index(self) -> int:
        """Label of pixels without a class."""
        return self.dataset.ignore_index

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of every method: `ignore_index`, and `second_head` with USRN on top."""
        if not self.with_usrn:
            return {"ignore_index": self.ignore_index}
        keys = ("threshold", "lambda_sub", "gate", "sub_head")
        options = {key: getattr(self.recipe.usrn, key) for key in keys}
        on_disagreement = self.recipe.usrn.on_disagreement or "drop"
        second_head = SecondHead(self.subclasses.parents, on_disagreement=on_disagreement, **options)
        return {"ignore_index": self.ignore_index, "second_head": second_head}

    def networks(self, *, with_sub: bool | None = None, count: int = 1) -> list[Network]:
        """Networks of the architecture of the recipe, with equal backbone weights and heads of their own.

        Args:
            with_sub: Whether they have an F_sub; None if USRN is put on top of the method.
            count: Number of networks.
        """
        with_sub = self.with_usrn if with_sub is None else with_sub
        subclasses = self.subclasses.total if with_sub else None
        return [
            Network(
                *build_branches(
                    classes=len(self.dataset.classes),
                    subclasses=subclasses,
                    seed=[self.recipe.training.seed, number],
                    **network_options(self.recipe, pretrained=self.pretrained),
                )
            )
            for number in range(count)
        ]


class Start:
    """Where `Method.start_from` starts from: a trained network.

    Args:
        branch: The trained F.
        classifier: Computes kernel and bias of a classifier at the cluster centers.
    """

    def __init__(self, branch: Branch, classifier: Callable[[], tuple[np.ndarray, np.ndarray]]):
        self.branch = branch
        self.centroid_classifier = classifier


def seed_everything(recipe: Recipe) -> None:
    """Seed weights and dropout, and set precision and kernels, so that a stage is the same every time."""
    with without_tensorflow(), suppress_native_stderr():  # TensorFlow is as loud as it can be
        keras.utils.set_random_seed(recipe.training.seed)
    keras.config.set_dtype_policy(recipe.training.precision)
    set_deterministic(recipe.training.deterministic)


def network_options(recipe: Recipe, *, pretrained: bool = True) -> dict:
    """Keyword arguments of `build_branches` that a recipe gives.

    Args:
        recipe: The recipe.
        pretrained: Whether to load the weights of the backbone.
    """
    options = recipe.network.model_dump() | {"bands": recipe.data.bands, "window": recipe.views.crop_size}
    # A map of attention whose size no key gives covers every offset of a training crop.
    options["psa_mask"] = options["psa_mask"] or psa_mask_size(
        recipe.views.crop_size, output_stride=options["output_stride"], shrink=options["psa_shrink"]
    )
    return options if pretrained else options | {"weights": "none"}


def compile_method(method: Method, recipe: Recipe, stage: Train) -> None:
    """Compile a method with the optimizer and the schedule of a stage.

    Args:
        method: The method.
        recipe: The recipe of the run.
        stage: Says steps and learning rate.
    """
    training = recipe.training
    schedule = keras.optimizers.schedules.PolynomialDecay(
        stage.learning_rate, stage.steps, end_learning_rate=0.0, power=training.poly_power
    )
    optimizer = _optimizer(recipe, schedule)
    for depth, variables in enumerate(method.backbone_groups()):
        factor = training.backbone_multiplier * training.layer_decay**depth
        optimizer.multiply_learning_rate(variables, factor)
    optimizer = method.wrap_optimizer(optimizer)
    optimizer.build(method.trainable_variables)
    method.compile(optimizer=optimizer, jit_compile=COMPILES)


def _optimizer(recipe: Recipe, schedule: keras.optimizers.schedules.LearningRateSchedule) -> SGD | AdamW:
    training = recipe.training
    accumulation = training.accumulation if training.accumulation > 1 else None
    if training.optimizer == "adamw":
        return AdamW(
            schedule,
            beta_1=training.momentum,
            decoupled_weight_decay=training.weight_decay,
            gradient_accumulation_steps=accumulation,
        )
    return SGD(
        schedule,
        momentum=training.momentum,
        coupled_weight_decay=training.weight_decay,
        gradient_accumulation_steps=accumulation,
    )
