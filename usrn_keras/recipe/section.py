"""Base class of the sections of a recipe."""

from __future__ import annotations

import pydantic


class Section(pydantic.BaseModel):
    """Section of a recipe: rejects unknown keys and non-finite numbers, and does not convert types."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
