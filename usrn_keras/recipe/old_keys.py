"""Keys of earlier versions: their replacements, and conversion of the recipes of old run folders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from usrn_keras.recipe.method_options import ALL_TERMS, METHOD_OPTIONS, term_errors
from usrn_keras.recipe.stage_plan import Cluster, Stage, Train

if TYPE_CHECKING:
    from usrn_keras.recipe.schema import Recipe

MOVED = {
    "training.threshold": "renamed to {method}.threshold",
    "training.lambda_u": "renamed to {method}.lambda_u",
    "training.lambda_sub": "renamed to usrn.lambda_sub",
    "training.gate": "renamed to usrn.gate",
    "training.terms": "renamed to usrn.terms; for ['ost'] alone use training.method = 'self_training'",
    "training.correction": "removed; for 'mask' use training.method = 'usrn', for 'average' with fixed "
    "centers use training.method = 'prototype_ensemble'",
    "training.sub_prior": "no longer used, it had no effect unless F_sub was trained; remove the key",
    "network.sub_head": "renamed to usrn.sub_head; for 'fixed_centroids' use training.method = "
    "'prototype_ensemble'",
}


def moved_key(key: str, method: str) -> str:
    """Describe the replacement of a key of an earlier version; empty for other keys.

    Args:
        key: Key of the form `section.key`.
        method: Value of `training.method`.

    Example:

    >>> moved_key("training.gate", "usrn")
    'renamed to usrn.gate'
    """
    with_threshold = method if method in ("usrn", "self_training", "prototype_ensemble") else "usrn"
    return MOVED.get(key, "").format(method=with_threshold)


def method_of_earlier_version(values: Mapping[str, Any], method: str) -> str:
    """The method whose objective the keys of an earlier version describe.

    Args:
        values: Tables of the recipe by section.
        method: Value of `training.method`.
    """
    training, network = (values.get(name) for name in ("training", "network"))
    if method != "usrn" or not isinstance(training, dict) or not isinstance(network, dict):
        return method
    terms = training.get("terms", list(ALL_TERMS))
    correction, sub_head = training.get("correction", "mask"), network.get("sub_head", "random")
    if isinstance(terms, list) and set(terms) == {"ost"}:
        return "self_training"
    voted = correction == "average" and sub_head == "fixed_centroids" and "msl" not in terms
    return "prototype_ensemble" if voted else "usrn"


def is_of_earlier_version(values: dict[str, Any]) -> bool:
    """Whether a recipe contains a key of an earlier version."""
    return any(key in values.get(section, {}) for section, _, key in (name.partition(".") for name in MOVED))


def upgrade(values: dict[str, Any]) -> dict[str, Any]:
    """Convert the recipe of an old run folder to the current keys, so that the run can be read.

    Objectives that no longer exist (averaging with a trained F_sub) become `usrn`: the completed training is
    not repeated, and evaluation, prediction, export and reports do not depend on the objective.

    Args:
        values: Tables of the recipe by section, as read from `recipe.toml`.
    """
    if not is_of_earlier_version(values):
        return values
    method = method_of_earlier_version(values, values.get("training", {}).get("method", "usrn"))
    values = {section: dict(table) for section, table in values.items()}
    training, network = values.get("training", {}), values.get("network", {})
    old = {key: training.pop(key) for key in _keys_of("training") if key in training}
    sub_head = network.pop("sub_head", "random")
    terms = old.get("terms", list(ALL_TERMS))
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
