"""The one place where these tests make a method: what a change of the API has to change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tests.methods.handmade import IMAGES, PARENTS, SIZE, second_branch
from usrn_keras.backends import CompiledStep
from usrn_keras.methods import (
    CAC,
    CCT,
    CPS,
    DARS,
    DSBN,
    GCT,
    USRN,
    AugSeg,
    CReST,
    FixMatch,
    Network,
    PrototypeEnsemble,
    SelfTraining,
    Supervised,
    UniMatch,
)
from usrn_keras.networks import Branch
from usrn_keras.recipe.method_options import ALL_TERMS, CCT_PERTURBATIONS


def build_method(
    method: str,
    branch: Branch,
    sub_branch: Branch,
    *,
    threshold: float = 0.75,
    lambda_u: float = 1.0,
    lambda_sub: float = 1.0,
    gate: str = "fallback",
    terms: Sequence[str] = ALL_TERMS,
    ignore_index: int = 255,
    **others: Any,
) -> keras.Model:
    """A method by its name in `training.method`; reads only the options that it has."""
    if method == "supervised":
        return Supervised(branch, ignore_index=ignore_index)
    options = {"threshold": threshold, "lambda_u": lambda_u, "ignore_index": ignore_index}
    if method == "self_training":
        return SelfTraining(branch, **options)
    if method == "cac":
        options = {"threshold": threshold, "ignore_index": ignore_index}
        return CAC([Network(branch)], batch_unlabelled=IMAGES, crop_size=SIZE, **options)
    if method in ("dars", "crest", "dsbn"):
        offline = {"dars": DARS, "crest": CReST, "dsbn": DSBN}[method]
        return offline([Network(branch)], ignore_index=ignore_index)
    if method == "cps":
        return CPS([Network(branch), Network(second_branch())], ignore_index=ignore_index)
    if method == "cct":
        decoders = dict.fromkeys(CCT_PERTURBATIONS, 1)
        return CCT([Network(branch)], decoders=decoders, seed=0, ignore_index=ignore_index)
    if method == "gct":
        two = [Network(branch), Network(second_branch())]
        return GCT(two, detector_width=4, seed=0, ignore_index=ignore_index)
    if method == "fixmatch":
        return FixMatch([Network(branch)], **options)
    if method == "augseg":
        return AugSeg([Network(branch), Network(second_branch())], **options)
    if method == "unimatch":
        return UniMatch([Network(branch)], **options)
    if method == "prototype_ensemble":
        return PrototypeEnsemble(branch, sub_branch, PARENTS, **options)
    options |= {"lambda_sub": lambda_sub, "gate": gate, "terms": terms}
    return USRN(branch, sub_branch, PARENTS, **options, **others)


def compiled_step(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, *, backbone_multiplier: float = 1.0
) -> CompiledStep:
    """`step(batch)` -> loss terms, as the training loop takes it."""
    optimizer.multiply_learning_rate(model.slow_variables(), backbone_multiplier)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() != "torch")
    return CompiledStep(model)
