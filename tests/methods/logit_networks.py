"""A network whose images are its logits: for values of official code that begin at the logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops


class LogitNetwork:
    """Stands for a `Network`: of an image of several blocks of channels, each pass shows one block.

    Args:
        classes: Number of channels of F in a block.
        shown: Number of the block that each pass shows, in the order of the passes; the perturbed features of
            a pass show a block, too.
        subclasses: Number of channels of F_sub in a block, after those of F; 0 for no F_sub.
    """

    trainable_variables = ()
    branches: ClassVar[dict] = {}

    def __init__(self, classes: int, shown: Sequence[int], subclasses: int = 0):
        self.classes, self.shown, self.subclasses = classes, list(shown), subclasses

    def logits(
        self,
        images: Any,
        heads: Any = ("F",),
        *,
        pooled: bool = False,
        training: bool = True,
        perturb: Any = None,
    ) -> dict:
        blocks = [self._block(images, heads) for _ in range(1 if perturb is None else 2)]
        return {head: ops.concatenate([block[head] for block in blocks]) for head in blocks[0]}

    def _block(self, images: Any, heads: Any) -> dict:
        begin = (self.classes + self.subclasses) * self.shown.pop(0)
        end = begin + self.classes
        found = {"F": images[..., begin:end]}
        return found | {"F_sub": images[..., end : end + self.subclasses]} if "F_sub" in heads else found


def box_of(mask: np.ndarray) -> list[int]:
    """Top, left, bottom, right of a mask that is a box; zeros for an empty one."""
    places = np.argwhere(mask)
    if not len(places):
        return [0, 0, 0, 0]
    (top, left), (bottom, right) = places.min(0), places.max(0) + 1
    assert mask[top:bottom, left:right].all()
    return [int(top), int(left), int(bottom), int(right)]


def boxes_of(masks: np.ndarray) -> np.ndarray:
    """Boxes `(images, boxes, 4)` int32 of any masks, one for each run of ones in a row; the rest is empty."""
    found = []
    for mask in masks:
        edges = np.diff(np.pad(mask.astype(int), ((0, 0), (1, 1))))
        begins, ends = np.argwhere(edges == 1), np.argwhere(edges == -1)
        found.append(
            [(row, begin, row + 1, end) for (row, begin), (_, end) in zip(begins, ends, strict=True)]
        )
    most = max(map(len, found))
    return np.int32([boxes + [(0, 0, 0, 0)] * (most - len(boxes)) for boxes in found])
