"""Images whose colours say where their pixels were, also after JPEG and after they were reduced."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

FINE = [cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]  # colours as fine as grey


def wave(coordinates: np.ndarray) -> np.ndarray:
    """Up and down by a level per pixel, between 0 and 255."""
    return np.abs((coordinates + 255) % 510 - 255)


def write_waves(path: Path, height: int, width: int) -> Path:
    """An image whose red is the wave of its columns, and its green that of its rows."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 2] = wave(np.arange(width))
    image[..., 1] = wave(np.arange(height))[:, None]
    assert cv2.imwrite(str(path), image, FINE if path.suffix == ".jpg" else [])
    return path


def shifts(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """How many pixels away from `rows` and `columns` the pixels of a view of `write_waves` lie.

    Args:
        image: `(pixels, 3)` uint8, pixels of the view.
        rows, columns: `(pixels,)` where they should lie.
    """
    found = []
    for shown, coordinates in ((image[:, 0], columns), (image[:, 1], rows)):
        expected = wave(coordinates.astype(float))
        straight = (expected > 32) & (expected < 223)  # the bends of the wave are averaged away
        upwards = np.where(coordinates % 510 < 255, 1, -1)
        found.append(((shown - expected) * upwards)[straight])
    return np.concatenate(found)
