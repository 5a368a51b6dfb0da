"""Moving averages of networks, which label for the network that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usrn_keras.methods.loss_part import Tensor, unique
from usrn_keras.networks import Branch


def move_average(average: Sequence[Branch], own: Sequence[Branch], decay: Tensor | float) -> None:
    """Set weights and moving statistics to the mean of themselves and those of the trained branches.

    What is no floating-point number, such as the state of dropout, stays.

    Args:
        average: Branches that hold the average.
        own: Branches of the same architecture that are trained.
        decay: Share of the average that remains, in 0..1; a number or a scalar.
    """
    pairs = zip(_floats(average), _floats(own), strict=True)
    for mean, value in pairs:
        mean.assign(decay * mean + (1.0 - decay) * value)


def _floats(branches: Sequence[Branch]) -> list[Any]:
    """The variables of branches that may share parts, each once."""
    return unique(v for branch in branches for v in branch.variables if "float" in v.dtype)
