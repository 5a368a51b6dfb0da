"""Which values the masks hold, and how many pixels of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.files.colours import pack, rgb_text
from usrn_keras.data.files.masks import RawMask

KEPT_VALUES = 4096  # of one mask; with more it is no mask, and the rest need not be known


@dataclass(frozen=True, eq=False)
class MaskValues:
    """The values of one mask.

    Args:
        mode: How the file stores them, as in `RawMask`.
        size: Height and width.
        values: `(n,)` int64 in rising order: ids, or colours as `RED * 65536 + GREEN * 256 + BLUE`.
        pixels: `(n,)` int64, pixels of each value.
        runs: `(n,)` int64, horizontal runs that these make.
        colours: `(n,)` int64, the colours of palette indices; None where there is no palette.
        coloured: Whether the values are colours.
    """

    mode: str
    size: tuple[int, int]
    values: np.ndarray
    pixels: np.ndarray
    runs: np.ndarray
    colours: np.ndarray | None = None
    coloured: bool = False

    def as_colours(self) -> MaskValues:
        """The same with palette indices replaced by their colours."""
        if self.coloured or self.colours is None:
            return self
        values, place = np.unique(self.colours, return_inverse=True)
        pixels, runs = (np.bincount(place, weights=n).astype(np.int64) for n in (self.pixels, self.runs))
        return MaskValues(self.mode, self.size, values, pixels, runs, coloured=True)


@dataclass(frozen=True, eq=False)
class ValueTable:
    """The values of all masks together.

    Args:
        values: `(n,)` int64 in rising order.
        pixels: `(masks, n)` int64, pixels of each value in each mask.
        runs: `(n,)` int64, horizontal runs over all masks.
    """

    values: np.ndarray
    pixels: np.ndarray
    runs: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """(n,) pixels of each value over all masks."""
        return self.pixels.sum(axis=0)

    @property
    def run_length(self) -> np.ndarray:
        """(n,) mean length in pixels of a horizontal run."""
        return self.total / np.maximum(1, self.runs)


def count_values(raw: RawMask) -> MaskValues:
    """Count the values of a decoded mask by their runs, which are far fewer than its pixels.

    Example:

    >>> counted = count_values(RawMask(np.array([[0, 0, 7], [7, 7, 7]], np.uint8), None, "L"))
    >>> counted.values.tolist(), counted.pixels.tolist(), counted.runs.tolist()
    ([0, 7], [2, 4], [1, 2])
    """
    coloured = raw.values.ndim == 3
    values = pack(raw.values) if coloured else raw.values
    starts = np.ones(values.shape, bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    places = np.flatnonzero(starts)
    lengths = np.diff(places, append=values.size)
    found, which = np.unique(values.ravel()[places], return_inverse=True)
    pixels = np.bincount(which, weights=lengths).astype(np.int64)
    kept = np.sort(np.argsort(-pixels, kind="stable")[:KEPT_VALUES])
    found = found.astype(np.int64)[kept]
    palette = None
    if raw.palette is not None:
        colours = np.zeros((int(found.max()) + 1, 3), np.uint8)
        colours[: len(raw.palette)] = raw.palette[: len(colours)]
        palette = pack(colours[found]).astype(np.int64)
    runs = np.bincount(which)[kept]
    return MaskValues(raw.mode, values.shape, found, pixels[kept], runs, palette, coloured)


def join(masks: Mapping[str, MaskValues]) -> ValueTable:
    """The values of all masks, one row of pixels for each mask in the order given."""
    values = np.unique(np.concatenate([mask.values for mask in masks.values()]))
    pixels = np.zeros((len(masks), len(values)), np.int64)
    runs = np.zeros(len(values), np.int64)
    for row, mask in enumerate(masks.values()):
        places = np.searchsorted(values, mask.values)
        pixels[row, places] = mask.pixels
        runs[places] += mask.runs
    return ValueTable(values, pixels, runs)


def shown(value: int, coloured: bool) -> str:
    """A mask value for people: `7`, or `128 64 128`."""
    return rgb_text(value) if coloured else str(value)
