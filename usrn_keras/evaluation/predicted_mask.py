"""Reading a predicted mask: class ids, or the colours of the classes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.files.colours import pack, rgb_text
from usrn_keras.data.files.masks import read_raw
from usrn_keras.errors import DataError

NAMED = 5  # ids and colours in a message


def read_prediction(path: Path, labels: np.ndarray, dataset: Dataset) -> np.ndarray:
    """The class ids in a predicted mask, `(height, width)` integers; where no label is, they may be anything.

    Args:
        path: PNG of class ids, grey of 1 to 16 bits or palette indices; of the values that the data set's
            own masks have, such as 0 and 255, where none of these is the id of another class; or of the
            classes' colours, RGB.
        labels: `(height, width)` class ids, negative where there is no label.
        dataset: Says what the classes and their colours are.

    Raises:
        DataError: The file cannot be read, has another size, or holds ids or colours of no class.
    """
    raw = read_raw(path)
    if raw.values.shape[:2] != labels.shape:
        (height, width), (wanted_height, wanted_width) = raw.values.shape[:2], labels.shape
        raise DataError(
            f"{path} is {width}x{height} pixels, the label of its image is {wanted_width}x{wanted_height}"
        )
    if raw.values.ndim == 3:
        return _classes_of(path, raw.values, labels >= 0, dataset)
    ids = _ids_of(raw.values, dataset)
    wrong = (labels >= 0) & (ids >= dataset.num_classes)
    if wrong.any():
        found = first(map(str, np.unique(raw.values[wrong])))
        raise DataError(f"{path} holds ids of no class: {found}; allowed: 0 to {dataset.num_classes - 1}")
    return ids


def first(values: Iterable[str], shown: int = NAMED) -> str:
    """The first of them, for a message."""
    values = list(values)
    return ", ".join(values[:shown]) + (f", ... ({len(values)})" if len(values) > shown else "")


def _ids_of(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Class ids of grey values; other values of the data set's masks count where they mean one class only."""
    if dataset.id_map is None:
        return values
    as_masks = dataset.id_map.astype(np.int64)
    ids = np.arange(1 << 16)
    both = as_masks[: dataset.num_classes]
    if ((both >= 0) & (both != ids[: len(both)])).any():
        return values
    is_class = (as_masks >= 0) & (as_masks < dataset.num_classes)
    ids[: len(as_masks)][is_class] = as_masks[is_class]
    return ids[values]


def _classes_of(path: Path, colours: np.ndarray, labelled: np.ndarray, dataset: Dataset) -> np.ndarray:
    """`(height, width)` class ids of RGB colours; C where a pixel without a label has no class's colour."""
    palette = pack(np.asarray(dataset.palette))
    if len(np.unique(palette)) < len(palette):
        raise DataError(f"{path} holds colours, and classes of {dataset.name} share one: store class ids")
    order, packed = np.argsort(palette), pack(colours)
    place = np.minimum(np.searchsorted(palette[order], packed), len(palette) - 1)
    ids = np.where(palette[order][place] == packed, order[place], len(palette))
    unknown = labelled & (ids == len(palette))
    if unknown.any():
        named = first(map(rgb_text, np.unique(packed[unknown])))
        raise DataError(f"{path} holds colours of no class: {named}")
    return ids
