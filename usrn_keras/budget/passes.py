"""The passes of images through the network that make up one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras

from usrn_keras.budget.graph import Call, Shape, calls
from usrn_keras.methods import USRN, Supervised
from usrn_keras.networks import Branch

PARTS = ("stem", "tail", "decoder", "classifier")


@dataclass(frozen=True)
class Part:
    """A part of a branch, applied to one image.

    Attributes:
        name: `stem`, `tail`, `decoder` or `classifier`.
        branch: `F`, `F_sub`, or `both` where they share it.
        model: The part.
        calls: Of its layers.
        output: Shape `(1, height, width, channels)` of what it gives.
    """

    name: str
    branch: Literal["F", "F_sub", "both"]
    model: keras.Model
    calls: tuple[Call, ...]
    output: Shape


@dataclass(frozen=True)
class Pass:
    """Images that go through the branches together.

    Attributes:
        name: `labelled`, `weak` or `strong`.
        images: Which of the two batches they come from.
        gradient: Whether they are passed backward too.
        parts: What they pass through, in order, parts shared by the branches once.
    """

    name: Literal["labelled", "weak", "strong"]
    images: Literal["labelled", "unlabelled"]
    gradient: bool
    parts: tuple[Part, ...]


def passes(model: Supervised | USRN, height: int, width: int) -> list[Pass]:
    """The passes of a step: one of the Baseline, three of USRN.

    The features of unlabelled images are pooled 2x2 before the classifiers.

    Args:
        model: The Baseline or USRN.
        height, width: Of a crop.
    """
    branches = [model.branch, model.sub_branch] if isinstance(model, USRN) else [model.branch]
    labelled = Pass("labelled", "labelled", True, _parts(branches, height, width, pooled=False))
    if isinstance(model, Supervised):
        return [labelled]
    unlabelled = _parts(branches, height, width, pooled=True)
    return [
        labelled,
        Pass("weak", "unlabelled", False, unlabelled),
        Pass("strong", "unlabelled", True, unlabelled),
    ]


def _parts(branches: list[Branch], height: int, width: int, *, pooled: bool) -> tuple[Part, ...]:
    found: dict[int, Part] = {}
    for name, branch in zip(("F", "F_sub"), branches, strict=False):
        image = (1, height, width, 3)
        low = _part(found, "stem", name, branch, image)
        high = _part(found, "tail", name, branch, low)
        _, rows, columns, channels = _part(found, "decoder", name, branch, low, high)
        size = (rows // 2, columns // 2) if pooled else (rows, columns)
        _part(found, "classifier", name, branch, (1, *size, channels))
    return tuple(sorted(found.values(), key=lambda part: PARTS.index(part.name)))


def _part(found: dict[int, Part], name: str, branch_name: str, branch: Branch, *inputs: Shape) -> Shape:
    """Note a part of a branch, once, and tell the shape of what it gives."""
    model = getattr(branch, name)
    if id(model) in found:
        part = found[id(model)]
        found[id(model)] = Part(name, "both", model, part.calls, part.output)
        return part.output
    layer_calls, (output,) = calls(model, *(shape[1:] for shape in inputs))
    found[id(model)] = Part(name, branch_name, model, tuple(layer_calls), output)
    return output
