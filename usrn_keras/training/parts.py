"""An objective in parts whose gradients are taken one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Part = Callable[[], dict[str, Any]]
"""Computes its terms, scalars by name; `loss` is what it adds to the objective."""


def sum_of_parts(terms: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The terms of all parts; `loss` is the sum of theirs.

    Example:

    >>> sum_of_parts([{"loss": 1.0, "a": 2.0}, {"loss": 0.5, "b": 3.0}])
    {'loss': 1.5, 'a': 2.0, 'b': 3.0}
    """
    merged = {name: value for part in terms for name, value in part.items()}
    return merged | {"loss": sum(part["loss"] for part in terms)}
