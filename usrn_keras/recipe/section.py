"""A section of a recipe."""

from __future__ import annotations

import pydantic


class Section(pydantic.BaseModel):
    """A flat section of a recipe: unknown keys are refused, types are not converted, numbers are finite."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
