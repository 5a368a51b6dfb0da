"""Value objects for the stages of a method, stored as JSON in the run folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import pydantic


@dataclass(frozen=True)
class Train:
    """Stage that trains a network.

    Attributes:
        name: Name of the trained model and of the stage's folder, such as `baseline` or `usrn`.
        title: Name of the model in tables and reports.
        method: Name of the method that trains the network, as in `training.method`.
        steps: Number of training steps.
        steps_key: Recipe key that sets the number of steps.
        learning_rate: Learning rate of the heads at step 0.
        start: Name of the earlier training stage whose weights are loaded; empty for backbone weights.
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
    """Stage that clusters the features of a model into subclasses of equal size.

    Attributes:
        model: Name of the training stage whose features are clustered.
        name: Name of the stage.
    """

    model: str
    name: str = "subclasses"
    kind: Literal["cluster"] = "cluster"


Stage = Train | Cluster
_STAGES = pydantic.TypeAdapter(tuple[Stage, ...])


def stage_folders(stages: tuple[Stage, ...]) -> dict[str, Stage]:
    """Return the stages by the names of their folders.

    Example:

    >>> list(stage_folders((Cluster("baseline"), Cluster("baseline", "again"))))
    ['1-subclasses', '2-again']
    """
    return {f"{number}-{stage.name}": stage for number, stage in enumerate(stages, start=1)}


def stages_to_json(stages: tuple[Stage, ...]) -> list[dict[str, Any]]:
    """Convert stages to JSON values."""
    return [asdict(stage) for stage in stages]


def stages_from_json(values: list[dict[str, Any]]) -> tuple[Stage, ...]:
    """Convert the output of `stages_to_json` back to stages.

    Raises:
        ValueError: A value is no stage, or there is no training stage.
    """
    stages = _STAGES.validate_python(values)
    if not any(isinstance(stage, Train) for stage in stages):
        raise ValueError("there is no training stage")
    return stages
