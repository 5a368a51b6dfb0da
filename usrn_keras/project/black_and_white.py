"""Masks of two classes with values between black and white: recognise them, and offer a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.decoding.mask_files import RawMask, read_raw
from usrn_keras.data.masks import COLOURED, MOST_COLOURED
from usrn_keras.errors import DataError

THRESHOLD = 127
NEAR = 48  # values at most this far from 0 or 255
LEAST_NEAR = 0.93  # share of the pixels; borders have the others
WIDEST = 7  # pixels; values between black and white in a wider area are those of a class
LEAST_CLASS = 0.001  # share of the pixels of black and of white, over all masks
CHECKED = 12  # masks
OFFER = (
    f"They look like masks of two classes, black and white: --mask-threshold {THRESHOLD} reads values above "
    f"{THRESHOLD} as the second class (data.mask_threshold in a recipe)."
)


def near_black_and_white(values: np.ndarray, pixels: np.ndarray) -> bool:
    """Whether grey values lie near 0 and 255, as after smoothing or JPEG compression of a binary mask.

    Args:
        values: Grey values, ascending integers of shape `(n,)`.
        pixels: Number of pixels of each value, `(n,)`.

    Example:

    >>> near_black_and_white(np.array([0, 2, 128, 254]), np.array([500, 40, 5, 300]))
    True
    """
    values = np.asarray(values)
    black, white = pixels[values <= NEAR].sum(), pixels[values >= 255 - NEAR].sum()
    if values[-1] > 255 or values[-1] - values[0] < 255 - 2 * NEAR:
        return False
    total = pixels.sum()
    return bool(min(black, white) >= LEAST_CLASS * total and black + white >= LEAST_NEAR * total)


def files_near_black_and_white(masks: Sequence[Path]) -> bool:
    """Whether a sample of mask files, JPEGs included, is nearly black and white."""
    total = np.zeros(256, np.int64)
    for path in masks[:: max(1, len(masks) // CHECKED)]:
        try:
            grey = _grey(read_raw(path, lossy=True))
        except DataError:
            return False
        if grey is None:
            return False
        between = ((grey > NEAR) & (grey < 255 - NEAR)).astype(np.uint8)
        if cv2.erode(between, np.ones((WIDEST, WIDEST), np.uint8)).any():
            return False
        total += np.bincount(grey.ravel(), minlength=256)
    found = np.flatnonzero(total)
    return near_black_and_white(found, total[found])


def _grey(raw: RawMask) -> np.ndarray | None:
    """Grey values `(height, width)` uint8 of a mask; None if it has colours or more bits."""
    values = raw.values
    if values.ndim == 2:
        return values if values.dtype == np.uint8 else None
    spread = values.max(axis=-1) - values.min(axis=-1)
    return None if np.count_nonzero(spread > COLOURED) > MOST_COLOURED * spread.size else values[..., 1]
