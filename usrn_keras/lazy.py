"""Names of a package that are loaded when they are first used, so that importing it is quick."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Args:
        package: Its `__name__`.
        homes: The module of each name, relative to the package.

    Example:

    >>> loader("usrn_keras", {"voc_palette": "data"})("voc_palette")(2).tolist()
    [[0, 0, 0], [128, 0, 0]]
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {', '.join(homes)}")
        return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)

    return load
