"""Base class of the sections of a recipe."""

from __future__ import annotations

import re
from typing import Any

import pydantic

LARGEST = 10**10  # steps of the longest training, and seeds, are below it
LONGEST_TEXT, LONGEST_LIST = 4096, 65_536
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Section(pydantic.BaseModel):
    """Section of a recipe: rejects unknown keys and values without bounds, and does not convert types.

    Every number is finite and at most 1e10, whatever its key allows; a text has at most 4,096 characters and
    no control characters, a list at most 65,536 entries.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _is_bounded(cls, value: Any) -> Any:
        _check_bounds(value)
        return value


def _check_bounds(value: Any) -> None:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise ValueError(f"must have at most {LONGEST_TEXT:,} characters")
    if isinstance(value, list) and len(value) > LONGEST_LIST:
        raise ValueError(f"must have at most {LONGEST_LIST:,} entries")
    if isinstance(value, str) and (found := CONTROL.search(value)):
        raise ValueError(f"must not contain control characters such as {found[0]!a}")
    if isinstance(value, int | float) and abs(value) > LARGEST:  # false for nan, which pydantic refuses
        raise ValueError(f"must be a finite number between -{LARGEST:.0e} and {LARGEST:.0e}")
    if isinstance(value, list):
        for entry in value:
            _check_bounds(entry)
