"""The stages that a method asks for, in order: plain values that a run folder keeps as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Train:
    """Train a network.

    Attributes:
        name: Name of the model that comes of it, such as `baseline` or `usrn`; the stage's folder has it too.
        title: Name of the model in tables and reports.
        method: Name of the method that trains it, as `training.method` takes it.
        steps: Number of training steps.
        steps_key: Key of the recipe that says so.
        learning_rate: Learning rate of the heads at step 0.
        start: Name of an earlier training stage whose weights it starts from; empty: backbone weights.
    """

    name: str
    title: str
    method: str
    steps: int
    steps_key: str
    learning_rate: float
    start: str = ""
    kind: Literal["train"] = "train"


@dataclass(frozen=True)
class Cluster:
    """Cluster the features of a model into subclasses of equal size.

    Attributes:
        model: Name of the training stage whose features are clustered.
        name: Name of the stage.
    """

    model: str
    name: str = "subclasses"
    kind: Literal["cluster"] = "cluster"


Stage = Train | Cluster
KINDS: dict[str, type[Stage]] = {"train": Train, "cluster": Cluster}


def stage_folders(stages: tuple[Stage, ...]) -> dict[str, Stage]:
    """The stages by the name of their folders.

    Example:

    >>> list(stage_folders((Cluster("baseline"), Cluster("baseline", "again"))))
    ['1-subclasses', '2-again']
    """
    return {f"{number}-{stage.name}": stage for number, stage in enumerate(stages, start=1)}


def stages_to_json(stages: tuple[Stage, ...]) -> list[dict[str, Any]]:
    """The stages as JSON values."""
    return [asdict(stage) for stage in stages]


def stages_from_json(values: list[dict[str, Any]]) -> tuple[Stage, ...]:
    """The stages that `stages_to_json` wrote."""
    return tuple(KINDS[value["kind"]](**value) for value in values)
