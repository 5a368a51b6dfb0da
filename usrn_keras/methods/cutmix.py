"""CutMix on the device: the mask of boxes, and what is pasted into what."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def box_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """Compute the mask of the pixels that an odd number of boxes contains.

    Args:
        boxes: Boxes `(batch, boxes, 4)` int: top, left, bottom and right in pixels; bottom and right are
            exclusive.
        height: Height of the mask in pixels.
        width: Width of the mask in pixels.

    Returns:
        Mask `(batch, height, width)` bool.

    Example:

    >>> import numpy as np
    >>> mask = box_mask(np.array([[[0, 0, 1, 2], [0, 1, 1, 3]]], "int32"), height=1, width=4)
    >>> ops.convert_to_numpy(mask).tolist()  # both boxes contain the second pixel
    [[[True, False, True, False]]]
    """
    boxes = ops.cast(boxes, "int32")[..., None]
    rows, columns = ops.arange(height, dtype="int32"), ops.arange(width, dtype="int32")
    in_rows = ops.logical_and(boxes[:, :, 0] <= rows, rows < boxes[:, :, 2])
    in_columns = ops.logical_and(boxes[:, :, 1] <= columns, columns < boxes[:, :, 3])
    inside = ops.logical_and(in_rows[..., None], in_columns[:, :, None])
    return ops.sum(ops.cast(inside, "int32"), axis=1) % 2 == 1


def paste(mask: Tensor, donor: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take each value of `donor` where the mask is true, and of `target` where it is false.

    Args:
        mask: Mask `(batch, height, width)` bool.
        donor: Values `(batch, height, width)` or `(batch, height, width, channels)` by name.
        target: Values of the same names and shapes.
    """

    def pasted(donor: Tensor, target: Tensor) -> Tensor:
        return ops.where(mask[..., None] if len(target.shape) == 4 else mask, donor, target)

    return {name: pasted(donor[name], value) for name, value in target.items()}
