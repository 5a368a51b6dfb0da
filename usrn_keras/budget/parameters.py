"""Parameters of each part of the network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from usrn_keras.budget.passes import PARTS
from usrn_keras.methods import USRN, Supervised


@dataclass(frozen=True)
class PartParameters:
    """Parameters of a part.

    Args:
        part: `stem`, `tail`, `decoder` or `classifier`.
        branch: `F`, `F_sub`, or `both` where they share it.
        trained: Numbers that are learnt.
        followed: Numbers that follow the batches: the moving statistics of batch normalisation.
    """

    part: str
    branch: str
    trained: int
    followed: int


def parameters(model: Supervised | USRN) -> list[PartParameters]:
    """The parameters of each part of each branch, shared parts once.

    Example:

    >>> from usrn_keras.networks import build_branches
    >>> branch, _ = build_branches("keras/mobilenet", classes=3, weights="none", width=0.25)
    >>> parameters(Supervised(branch))[-1]
    PartParameters(part='classifier', branch='F', trained=771, followed=0)
    """
    rows = []
    for name in PARTS:
        part = getattr(model.branch, name)
        sub_part = getattr(model.sub_branch, name) if isinstance(model, USRN) else None
        rows.append(_row(name, "both" if part is sub_part else "F", part))
        if sub_part is not None and sub_part is not part:
            rows.append(_row(name, "F_sub", sub_part))
    return rows


def _row(name: str, branch: str, part: keras.Model) -> PartParameters:
    seeds = {id(variable) for variable in _seeds(part)}
    followed = [variable for variable in part.non_trainable_variables if id(variable) not in seeds]
    return PartParameters(name, branch, _size(part.trainable_variables), _size(followed))


def _seeds(part: keras.Model) -> list[keras.Variable]:
    """The random states of dropout: variables, but no parameters."""
    layers = part._flatten_layers()
    return [layer.seed_generator.state for layer in layers if hasattr(layer, "seed_generator")]


def _size(variables: list[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)
