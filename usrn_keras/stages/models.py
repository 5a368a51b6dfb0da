"""The models of a recipe: networks, methods, optimizers. The only place that reads it for them."""

from __future__ import annotations

import keras
import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.methods import USRN, Supervised
from usrn_keras.networks import build_branches
from usrn_keras.networks.psanet import mask_of
from usrn_keras.optional import tensorflow_left_out
from usrn_keras.quiet import native_stderr_held
from usrn_keras.recipe import Recipe
from usrn_keras.subclasses import SubclassMap
from usrn_keras.training import SGD, AdamW, PolySchedule


def seed_everything(recipe: Recipe) -> None:
    """Seed weights and dropout, and set the precision, so that a stage is the same every time."""
    with tensorflow_left_out(), native_stderr_held():  # TensorFlow is as loud as it can be
        keras.utils.set_random_seed(recipe.training.seed)
    keras.config.set_dtype_policy(recipe.training.precision)


def supervised_model(recipe: Recipe, dataset: Dataset, *, pretrained: bool = True) -> Supervised:
    """The Baseline, compiled. Without `pretrained` its weights are about to be restored."""
    seed_everything(recipe)
    branch, _ = build_branches(classes=len(dataset.classes), **_network(recipe, pretrained))
    model = Supervised(branch, ignore_index=dataset.ignore_index)
    return _compiled(model, recipe, recipe.training.baseline_steps, recipe.training.learning_rate)


def baseline_of(model: USRN, recipe: Recipe) -> Supervised:
    """The branch F of USRN as a Baseline, compiled: what that stage takes, without another network."""
    baseline = Supervised(model.branch, ignore_index=model.ignore_index)
    return _compiled(baseline, recipe, recipe.training.baseline_steps, recipe.training.learning_rate)


def usrn_model(recipe: Recipe, dataset: Dataset, subclasses: SubclassMap, *, pretrained: bool = True) -> USRN:
    """USRN, compiled, with the start that the paper has: a pretrained backbone, random heads.

    A `fixed_centroids` classifier is not trained, whatever weights it gets; nor is F_sub where the terms
    have neither of its losses.
    """
    seed_everything(recipe)
    training = recipe.training
    branch, sub_branch = build_branches(
        classes=len(dataset.classes), subclasses=subclasses.total, **_network(recipe, pretrained)
    )
    model = USRN(
        branch,
        sub_branch,
        subclasses.parents,
        threshold=training.threshold,
        lambda_u=training.lambda_u,
        lambda_sub=training.lambda_sub,
        gate=training.gate,
        correction=training.correction,
        sub_sizes=_sub_sizes(subclasses) if training.sub_prior == "adjusted" else None,
        terms=training.terms,
        ignore_index=dataset.ignore_index,
    )
    if recipe.network.sub_head == "fixed_centroids":
        sub_branch.classifier.trainable = False
    if {"msl", "sst"}.isdisjoint(training.terms):
        _hold_sub_branch(model)
    rate = training.usrn_learning_rate or training.learning_rate
    return _compiled(model, recipe, training.usrn_steps, rate)


def _sub_sizes(subclasses: SubclassMap) -> list[int]:
    """In label pixels, as F_sub meets them: `subclasses.rows_per_image` clusters a part of large classes."""
    return subclasses.in_label_pixels(subclasses.sizes).tolist()


def _hold_sub_branch(model: USRN) -> None:
    """Let F_sub's own variables stay as they start: no gradient reaches them, but weight decay would.

    Variables, not layers: a batch normalisation that is not trainable would no longer take the statistics
    of each view.
    """
    shared = {id(variable) for variable in model.branch.variables}
    for variable in model.sub_branch.trainable_variables:
        if id(variable) not in shared:
            variable.trainable = False


def _network(recipe: Recipe, pretrained: bool) -> dict:
    options = recipe.network.model_dump(exclude={"sub_head"})
    # A map of attention that no key sizes covers every offset of a training crop.
    options["psa_mask"] = options["psa_mask"] or mask_of(
        recipe.views.crop_size, output_stride=options["output_stride"], shrink=options["psa_shrink"]
    )
    return options if pretrained else options | {"weights": "none"}


def _compiled(
    model: Supervised | USRN, recipe: Recipe, steps: int, learning_rate: float
) -> Supervised | USRN:
    training = recipe.training
    optimizer = _optimizer(recipe, PolySchedule(learning_rate, steps, training.poly_power))
    optimizer.multiply_learning_rate(model.slow_variables(), training.backbone_multiplier)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "torch")
    return model


def _optimizer(recipe: Recipe, schedule: PolySchedule) -> SGD | AdamW:
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


def copy_baseline(source: Supervised, model: USRN) -> None:
    """`training.start = "baseline"`: both branches take over what the Baseline has learnt."""
    for target in (model.branch, model.sub_branch):
        for part in ("stem", "tail", "decoder"):
            getattr(target, part).set_weights(getattr(source.branch, part).get_weights())
    model.branch.classifier.set_weights(source.branch.classifier.get_weights())


def set_sub_classifier(model: USRN, kernel: np.ndarray, bias: np.ndarray) -> None:
    """Replace the subclass classifier: `kernel (channels, subclasses)`, `bias (subclasses,)`."""
    model.sub_branch.classifier.set_weights([kernel[None, None], bias])
