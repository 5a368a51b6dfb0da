"""Colours as numbers, and from the colours of a mask to class ids."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.errors import DataError

UNKNOWN = 65534  # in the lookup table; classes end below
SHOWN = 10
_BLURRED = 50  # so many unknown colours come from interpolation or lossy compression


def map_colours(path: Path | str, colours: np.ndarray, colour_map: np.ndarray) -> np.ndarray:
    """Class ids of a mask in colours.

    Args:
        path: The mask, for the message.
        colours: `(height, width, 3)` uint8 RGB.
        colour_map: `(colours, 4)` int32, rows of red, green, blue and class id.

    Returns:
        `(height, width)` uint8, or uint16 where an id needs it.

    Raises:
        DataError: colours that are not in the map; up to 10 are named, the most frequent first.

    Example:

    >>> red_is_1 = np.array([[0, 0, 0, 0], [255, 0, 0, 1]], np.int32)
    >>> map_colours("mask.png", np.array([[[255, 0, 0], [0, 0, 0]]], np.uint8), red_is_1)
    array([[1, 0]], dtype=uint8)
    """
    packed = pack(colours)
    ids = _table(colour_map.astype(np.int32).tobytes())[packed]
    unknown = ids == UNKNOWN
    if unknown.any():
        raise _unknown_colours(path, packed[unknown], colour_map)
    return ids.astype(np.uint8 if colour_map[:, 3].max() < 256 else np.uint16)


def pack(colours: np.ndarray) -> np.ndarray:
    """RGB `(..., 3)` uint8 as one number each, `RED * 65536 + GREEN * 256 + BLUE`, `(...)` uint32.

    Example:

    >>> pack(np.array([[255, 128, 0]], np.uint8))
    array([16744448], dtype=uint32)
    """
    # OpenCV adds the fourth byte many times as fast as NumPy adds up three channels.
    four = cv2.cvtColor(np.ascontiguousarray(colours).reshape(1, -1, 3), cv2.COLOR_RGB2BGRA)
    return four.view("<u4").reshape(colours.shape[:-1]) & 0xFFFFFF


def unpack(values: np.ndarray) -> np.ndarray:
    """The inverse of `pack`, `(..., 3)` uint8."""
    values = np.asarray(values, np.int64)
    return np.stack([values >> 16, values >> 8 & 255, values & 255], axis=-1).astype(np.uint8)


def rgb_text(value: int) -> str:
    """A packed colour for people, such as `128 64 128`."""
    return f"{value >> 16} {value >> 8 & 255} {value & 255}"


@functools.lru_cache(maxsize=2)
def _table(rows: bytes) -> np.ndarray:
    """Class id by packed colour: 32 MiB, of which a mask touches a few lines."""
    colour_map = np.frombuffer(rows, np.int32).reshape(-1, 4)
    table = np.full(2**24, UNKNOWN, np.uint16)
    table[pack(colour_map[:, :3].astype(np.uint8))] = colour_map[:, 3]
    return table


def _unknown_colours(path: Path | str, packed: np.ndarray, colour_map: np.ndarray) -> DataError:
    found, counts = np.unique(packed, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:SHOWN]
    named = ", ".join(f"{rgb_text(found[i])} ({counts[i]} pixels)" for i in order)
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    allowed = ", ".join(f"{r} {g} {b} = {class_id}" for r, g, b, class_id in colour_map[: 3 * SHOWN])
    hint = (
        f"Allowed are {allowed}{', ...' if len(colour_map) > 3 * SHOWN else ''}: "
        "complete palette.txt (a line per class) or data.ignore_colours, or correct the mask."
    )
    if len(found) > _BLURRED:
        hint += " So many colours come from a mask that was resized smoothly or saved as JPEG: make it anew."
    return DataError(f"{path} holds colours of no class: {named}{more}", hint=hint)
