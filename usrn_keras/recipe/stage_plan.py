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
        steps: Number of the last step, at which the learning rate reaches 0.
        steps_key: Recipe key that sets the number of steps.
        learning_rate: Learning rate of the heads at step 0.
        start: Name of the earlier training stage whose weights are loaded; empty for backbone weights.
        begin: Number of the first step; the stage trains `steps - begin` steps.
        continues: Whether the optimizer state of `start` is loaded too, so that its training continues.
        labels: Name of the earlier `Label` stage whose pseudo masks are trained on; empty for none.
    """

    name: str
    title: str
    method: str
    steps: int
    steps_key: str
    learning_rate: float
    start: str = ""
    begin: int = 0
    continues: bool = False
    labels: str = ""
    kind: Literal["train"] = "train"

    @property
    def length(self) -> int:
        """Number of training steps of this stage."""
        return self.steps - self.begin


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


@dataclass(frozen=True)
class Label:
    """Stage that labels the unlabelled images with a model, and keeps the selected pixels as pseudo masks.

    Attributes:
        name: Name of the stage.
        teacher: Name of the training stage whose model predicts the labels.
        rule: Selection of the pixels of each class: the most confident ones up to its share of the labelled
            pixels (`quotas`), the most confident share of those predicted (`rates`), or `all`.
        amount: For `quotas`, the share of all unlabelled pixels that is kept; for `rates`, the exponent of
            the ratio of class frequencies.
        temperature: Exponent of the class frequencies in distribution alignment; None for no alignment.
    """

    name: str
    teacher: str
    rule: Literal["quotas", "rates", "all"]
    amount: float = 1.0
    temperature: float | None = None
    kind: Literal["label"] = "label"


Stage = Train | Cluster | Label
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
