"""What the values in the masks of a recipe mean: class ids, values of a table, or colours of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.recipe.schema import Data

MAX_CLASSES = 65534


@dataclass(frozen=True, eq=False)
class MaskValues:
    """The fields of `Dataset` that say what masks mean."""

    ignore_index: int
    id_map: np.ndarray | None = None
    colour_map: np.ndarray | None = None


def internal_ignore_index(num_classes: int) -> int:
    """The label of pixels without a class in masks that are looked up: 255 while that is no class."""
    return 255 if num_classes <= 255 else 65535


def mask_values(data: Data, classes: tuple[str, ...], faults: Faults) -> MaskValues:
    """What `data.mask_ids` and `data.ignore_index` say; without either, ids are taken as they are."""
    if data.mask_ids and len(data.mask_ids) != len(classes):
        faults.add(
            f"data.mask_ids has {len(data.mask_ids)} values for {len(classes)} classes: give one for each"
        )
    if data.mask_ids:
        return _by_value(data.mask_ids, data.ignore_index, len(classes))
    if data.ignore_index < 0:
        return _by_value(range(len(classes)), data.ignore_index, len(classes))
    if data.ignore_index < len(classes):
        faults.add(
            f"data.ignore_index = {data.ignore_index} is the id of class `{classes[data.ignore_index]}`: "
            f"choose a value of at least {len(classes)}, -1 where every pixel has a class, or name the mask "
            "value of each class in data.mask_ids"
        )
    return MaskValues(data.ignore_index)


def colour_values(
    palette: np.ndarray, ignore_colours: list[list[int]], classes: tuple[str, ...], faults: Faults
) -> MaskValues:
    """Masks in the colours of the palette; `ignore_colours` are pixels without a class."""
    ignore_index = internal_ignore_index(len(classes))
    owner: dict[tuple[int, ...], str] = {}
    for name, colour in zip(classes, palette.tolist(), strict=False):
        before = owner.setdefault(tuple(colour), name)
        if before != name:
            faults.add(
                f"the classes `{before}` and `{name}` have the same colour {_text(colour)} in palette.txt"
            )
    for colour in ignore_colours:
        if tuple(colour) in owner:
            faults.add(
                f"data.ignore_colours: {_text(colour)} is the colour of class `{owner[tuple(colour)]}`"
            )
    rows = [(*colour, class_id) for class_id, colour in enumerate(palette.tolist())]
    rows += [(*colour, ignore_index) for colour in ignore_colours if len(colour) == 3]
    return MaskValues(ignore_index, colour_map=np.array(rows, np.int32).reshape(-1, 4))


def _by_value(values: Sequence[int], ignored: int, num_classes: int) -> MaskValues:
    """A table over every value that a mask can hold, so that none is taken for `ignore_index` by chance."""
    ignore_index = internal_ignore_index(num_classes)
    fits_8_bits = max(ignore_index, ignored, *values, 0) < 256
    id_map = np.full(256 if fits_8_bits else 65536, -1, np.int32)
    if ignored >= 0:
        id_map[ignored] = ignore_index
    for class_id, value in enumerate(values[:num_classes]):
        id_map[value] = class_id
    return MaskValues(ignore_index, id_map)


def _text(colour: Sequence[int]) -> str:
    return " ".join(map(str, colour))
