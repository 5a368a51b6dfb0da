"""Read TOML within limits: a file from a stranger must not exhaust the parser."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from usrn_keras.errors import RecipeError

LARGEST_FILE = 2**20  # bytes; the shipped recipes have up to 4,000
DEEPEST = 20  # arrays and tables inside each other
EXAMPLE = "`usrn recipes show quickstart` shows an example."


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        RecipeError: The file cannot be read, is no TOML, or exceeds a limit of size, depth or digits.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise RecipeError(
            f"{path} is larger than {LARGEST_FILE:,} bytes, which no recipe needs", hint=EXAMPLE
        )
    try:
        return parse_toml(content.decode("utf-8-sig"))
    except ValueError as error:
        raise RecipeError(f"{path} is not TOML: {error}", hint=EXAMPLE) from None


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: The text is no TOML, or exceeds a limit of depth or digits.

    Example:

    >>> parse_toml("steps = 4")
    {'steps': 4}
    """
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    if _depth(values) > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return values


def _depth(value: Any) -> int:
    """Levels of arrays and tables inside each other; level by level, since the depth is not known."""
    level, depth = [value], 0
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth
