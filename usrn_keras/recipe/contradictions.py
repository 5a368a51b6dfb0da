"""Faults of a recipe that no single key shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from usrn_keras.recipe.data_keys import data_contradictions
from usrn_keras.recipe.network_keys import network_contradictions
from usrn_keras.recipe.schema import Evaluation, Network, Section, Training, Views


def contradictions(sections: Mapping[str, Section]) -> Iterator[str]:
    """One line each, of the sections that are there: one whose own keys are wrong is left out.

    Example:

    >>> from usrn_keras.recipe.schema import Evaluation
    >>> [fault.split(":")[0] for fault in contradictions({"evaluation": Evaluation(checkpoint="best")})]
    ['evaluation.checkpoint']
    """
    for names, check in CHECKS:
        if all(name in sections for name in names):
            yield from check(*(sections[name] for name in names))


def _views(views: Views) -> Iterator[str]:
    for key in ("scale_labelled", "scale_unlabelled"):
        low, high = getattr(views, key)
        if low > high:
            yield f"views.{key}: the smallest must not exceed the largest, received [{low}, {high}]"
    if views.jitter[3] > 0.5:
        yield f"views.jitter: hue must be at most 0.5 of the colour circle, received {views.jitter[3]}"


def _sub_head(network: Network, training: Training) -> Iterator[str]:
    if network.sub_head != "random" and training.start != "baseline":
        yield (
            f"network.sub_head: `{network.sub_head}` needs training.start = 'baseline' (the centroids live "
            f"in the Baseline's features), received training.start = {training.start!r}"
        )
    if "usr" in training.terms and "msl" not in training.terms and network.sub_head == "random":
        yield (
            "training.terms: without msl F_sub's classifier is not trained, so usr needs network.sub_head = "
            f"'centroids' or 'fixed_centroids', received {network.sub_head!r}; or add msl"
        )


def _checkpoint(evaluation: Evaluation) -> Iterator[str]:
    if evaluation.checkpoint == "best" and evaluation.every == 0:
        yield (
            "evaluation.checkpoint: `best` needs evaluation.every above 0, the steps after which weights are "
            "compared on val, received evaluation.every = 0"
        )


CHECKS: tuple[tuple[tuple[str, ...], Callable[..., Iterator[str]]], ...] = (
    (("views",), _views),
    (("network", "training"), _sub_head),
    (("network",), network_contradictions),
    (("data",), data_contradictions),
    (("evaluation",), _checkpoint),
)
