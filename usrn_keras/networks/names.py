"""Finding what a key of `[network]` names."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeVar

from usrn_keras.errors import RecipeError

Named = TypeVar("Named")


def look_up(key: str, name: str, known: Mapping[str, Named]) -> Named:
    """What `name` stands for.

    Args:
        key: `backbone`, `decoder` or `architecture`, for the message.
        name: As the recipe has it.
        known: What there is, by name.

    Raises:
        RecipeError: There is no such name; the message tells all that there are, and the nearest.

    Example:

    >>> look_up("decoder", "pspnet", {"pspnet": 1})
    1
    """
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    raise RecipeError(
        f"network.{key}: unknown {key} {name!r}; allowed: {', '.join(known)}",
        hint=f"Did you mean `{near[0]}`?" if near else "",
    )
