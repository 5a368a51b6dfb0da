"""What the JSON files of a run folder contain, checked when they are read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any

import pydantic
from pydantic import Field

from usrn_keras.metrics import Scores

Colour = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class _Content(pydantic.BaseModel):
    """An object of JSON; other keys are allowed, since later versions may write more."""

    model_config = pydantic.ConfigDict(strict=True, extra="allow")


class DatasetFile(_Content):
    """`dataset.json`, see `usrn_keras.runs.identity.describe`."""

    name: str
    fingerprint: str
    classes: list[str] = Field(min_length=1)
    palette: list[Colour]
    images: dict[str, int]
    contents: dict[str, str] = {}  # not recorded by the first versions

    @pydantic.model_validator(mode="after")
    def _has_a_colour_for_each_class(self) -> DatasetFile:
        if len(self.palette) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes have {len(self.palette)} colours")
        return self


class Session(_Content):
    """An entry of `environment.json`, see `usrn_keras.runs.environment.describe_environment`."""

    started: str = ""
    backend: str = ""
    usrn_keras: str = ""
    numerics: int = 0  # not recorded by the first versions
    packages: dict[str, str] = {}
    platform: str = ""
    cpus: int | None = None
    devices: list[str] = []
    command: list[str] = []


class Product(_Content):
    """Size and SHA-256 of a file, see `usrn_keras.runs.products`."""

    size: int = Field(ge=0)
    sha256: str


class StageFacts(_Content):
    """`complete.json` of a stage, see `Run.complete`; that of the run folder has `products` alone."""

    products: dict[str, Product] = {}  # not recorded by the first versions
    steps: int = 0
    seconds: float = 0.0
    peak_memory: float | None = None
    subclasses: int = 0
    resumed: bool = False


class BestWeights(_Content):
    """`best.json` of a training stage, see `usrn_keras.stages.validation`."""

    step: int
    val_miou: float
    saved: bool
    measured: int


@functools.cache
def as_written(content: Any) -> Callable[[Any], Any]:
    """Return a function that checks a JSON value and returns it as it is, for `read_json`.

    Args:
        content: Type of the value: one of these classes, or a list of one.

    Example:

    >>> as_written(list[Session])([])
    []
    """
    adapter = pydantic.TypeAdapter(content)

    def check(value: Any) -> Any:
        adapter.validate_python(value)
        return value

    return check


def evaluation_results(value: dict[str, Any]) -> dict[str, Any]:
    """Check that a value is that of an `evaluation.json`, and return it.

    Raises:
        ValueError, TypeError, KeyError: It is not.
    """
    if not [Scores.from_json(scores) for scores in value["scores"]]:
        raise ValueError("there are no scores")
    return value


def model_scores(value: dict[str, Any]) -> dict[str, Any]:
    """Check that a value is that of the `scores.json` of a stage, and return it.

    Raises:
        ValueError, TypeError, KeyError: It is not.
    """
    Scores.from_json(value["scores"])
    if not all(isinstance(part, dict) for part in (value["asked"], value.get("images", {}))):
        raise TypeError("`asked` and `images` must be objects")
    return value
