"""The passes of images through the network that make up one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import keras

from usrn_keras.budget.graph import Call, calls, image_tensor
from usrn_keras.methods import USRN, Supervised
from usrn_keras.networks import Branch

PARTS = ("stem", "tail", "decoder", "classifier")


@dataclass(frozen=True, eq=False)
class Part:
    """A part of a branch, applied to one image.

    Attributes:
        name: `stem`, `tail`, `decoder` or `classifier`.
        branch: `F`, `F_sub`, or `both` where they share it.
        model: The part.
        calls: Of its layers.
        outputs: What it gives, symbolic, `(1, height, width, channels)`; a tail may give several maps.
    """

    name: str
    branch: Literal["F", "F_sub", "both"]
    model: keras.Model
    calls: tuple[Call, ...]
    outputs: tuple[keras.KerasTensor, ...]

    @property
    def output(self) -> keras.KerasTensor:
        """The last of what it gives, the deepest."""
        return self.outputs[-1]


@dataclass(frozen=True, eq=False)
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

    @property
    def calls(self) -> list[Call]:
        """Of all layers."""
        return [call for part in self.parts for call in part.calls]


def passes(model: Supervised | USRN, height: int, width: int) -> list[Pass]:
    """The passes of a step: one of the Baseline, three of USRN, each through the branches its terms need.

    The features of unlabelled images are pooled 2x2 before the classifiers. Without a term about unlabelled
    images there is no pass of them.

    Args:
        model: The Baseline or USRN.
        height, width: Of a crop.
    """
    if isinstance(model, Supervised):
        return [Pass("labelled", "labelled", True, _parts({"F": model.branch}, height, width, pooled=False))]

    def parts(view: str, *, pooled: bool) -> tuple[Part, ...]:
        return _parts(_branches(model, view), height, width, pooled=pooled)

    found = [
        Pass("labelled", "labelled", True, parts("labelled", pooled=False)),
        Pass("weak", "unlabelled", False, parts("weak", pooled=True)),
        Pass("strong", "unlabelled", True, parts("strong", pooled=True)),
    ]
    return [view for view in found if view.parts]


def _branches(model: USRN, view: str) -> dict[str, Branch]:
    seen = model.branches_of_view[view]
    branches = {"F": (seen["own"], model.branch), "F_sub": (seen["sub"], model.sub_branch)}
    return {name: branch for name, (sees, branch) in branches.items() if sees}


def _parts(branches: dict[str, Branch], height: int, width: int, *, pooled: bool) -> tuple[Part, ...]:
    found: dict[int, Part] = {}
    image = image_tensor(height, width)
    for name, branch in branches.items():
        (low,) = _apply(found, "stem", name, branch, image)
        high = _apply(found, "tail", name, branch, low)
        (features,) = _apply(found, "decoder", name, branch, low, *high)
        if pooled:
            _, rows, columns, channels = features.shape
            features = keras.KerasTensor((1, rows // 2, columns // 2, channels), features.dtype)
        _apply(found, "classifier", name, branch, features)
    return tuple(sorted(found.values(), key=lambda part: PARTS.index(part.name)))


def _apply(
    found: dict[int, Part], part: str, name: str, branch: Branch, *inputs: keras.KerasTensor
) -> list[keras.KerasTensor]:
    """What a part of a branch gives; it is noted in `found`, and walked through, once."""
    model = getattr(branch, part)
    if (known := found.get(id(model))) is not None:
        found[id(model)] = Part(part, "both", model, known.calls, known.outputs)
        return list(known.outputs)
    layer_calls, outputs = calls(model, inputs)
    found[id(model)] = Part(part, name, model, tuple(layer_calls), tuple(outputs))
    return outputs
