"""Earlier versions: where each old key has gone, and old run folders in today's form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from usrn_keras.recipe.method_options import ALL_TERMS, METHOD_OPTIONS, term_errors
from usrn_keras.recipe.stage_plan import Cluster, Stage, Train

if TYPE_CHECKING:
    from usrn_keras.recipe.schema import Recipe

MOVED = {
    "training.threshold": "it is {method}.threshold now",
    "training.lambda_u": "it is {method}.lambda_u now",
    "training.lambda_sub": "it is usrn.lambda_sub now",
    "training.gate": "it is usrn.gate now",
    "training.terms": "it is usrn.terms now; ['ost'] alone is training.method = 'self_training'",
    "training.correction": "it is gone: 'mask' is what training.method = 'usrn' does, 'average' with fixed "
    "centers is training.method = 'prototype_ensemble'",
    "training.sub_prior": "it is gone: it had no effect unless F_sub was trained; remove the key",
    "network.sub_head": "it is usrn.sub_head now; 'fixed_centroids' is what training.method = "
    "'prototype_ensemble' does",
}


def moved_key(key: str, method: str) -> str:
    """What became of a key of an earlier version; empty for any other.

    Args:
        key: `section.key`.
        method: `training.method` of the recipe.

    Example:

    >>> moved_key("training.gate", "usrn")
    'it is usrn.gate now'
    """
    with_threshold = method if method in ("usrn", "self_training", "prototype_ensemble") else "usrn"
    return MOVED.get(key, "").format(method=with_threshold)


def is_of_earlier_version(values: dict[str, Any]) -> bool:
    """Whether the values of a recipe hold a key of an earlier version."""
    return any(key in values.get(section, {}) for section, _, key in (name.partition(".") for name in MOVED))


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """The recipe of an old run folder with today's keys, so that the run can be read.

    Objectives that no longer exist (a trained F_sub that votes) become `usrn`: what was trained is not
    trained again, and evaluation, prediction, export and reports do not depend on it.

    Args:
        values: Tables of the recipe by section, as `recipe.toml` has them.
    """
    if not is_of_earlier_version(values):
        return values
    values = {section: dict(table) for section, table in values.items()}
    training, network = values.get("training", {}), values.get("network", {})
    old = {key: training.pop(key) for key in _keys_of("training") if key in training}
    sub_head = network.pop("sub_head", "random")
    terms = old.get("terms", list(ALL_TERMS))
    method = training.get("method", "usrn")
    if method == "usrn":
        method = _method_of(terms, old.get("correction", "mask"), sub_head)
        training["method"] = method
    section = METHOD_OPTIONS[method]
    if section is not None:
        offered = {**old, "terms": terms, "sub_head": sub_head}
        if list(term_errors(terms)):
            del offered["terms"]
        if sub_head == "fixed_centroids":
            offered["sub_head"] = "centroids"
        values[method] = {key: offered[key] for key in section.model_fields if key in offered}
    return values


def _keys_of(section: str) -> list[str]:
    return [name.partition(".")[2] for name in MOVED if name.startswith(f"{section}.")]


def _method_of(terms: list[str], correction: str, sub_head: str) -> str:
    if set(terms) == {"ost"}:
        return "self_training"
    voted = correction == "average" and sub_head == "fixed_centroids" and "msl" not in terms
    return "prototype_ensemble" if voted else "usrn"


def stages_of_earlier_version(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a run folder that has no file of them: one or two models, `baseline` and `usrn`.

    Args:
        recipe: The recipe of the run, in today's form.
    """
    training = recipe.training
    baseline = Train(
        "baseline", "Baseline", "supervised", training.baseline_steps, "training.baseline_steps",
        training.learning_rate,
    )  # fmt: skip
    if training.method == "supervised":
        return (baseline,)
    rate = training.usrn_learning_rate or training.learning_rate
    last = Train(
        "usrn", "USRN", training.method, training.usrn_steps, "training.usrn_steps", rate,
        start="baseline" if training.start == "baseline" else "",
    )  # fmt: skip
    return (baseline, Cluster("baseline"), last)
