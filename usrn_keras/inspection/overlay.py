"""Class colours over a view, with outlines; what is ignored is hatched."""

from __future__ import annotations

import cv2
import numpy as np

OPACITY = 0.6
STRIPE = 6  # pixels from one line of the hatching to the next
HATCHED = (235, 235, 235), (95, 95, 95)  # colours of its lines and of what is between


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The colours of the classes over an image.

    Args:
        image: `(height, width, 3)` uint8.
        labels: `(height, width)` integers; what is no class is hatched.
        palette: `(classes, 3)` uint8.

    Returns:
        `(height, width, 3)` uint8.
    """
    ignored = (labels < 0) | (labels >= len(palette))
    colours = palette[np.where(ignored, 0, labels)]
    mixed = (1 - OPACITY) * image + OPACITY * colours
    hatched = 0.35 * image + 0.65 * hatching(*labels.shape)
    mixed = np.where(ignored[..., None], hatched, mixed).round().astype(np.uint8)
    mixed[_borders(labels)] = 255
    return mixed


def hatching(height: int, width: int) -> np.ndarray:
    """Diagonal stripes, `(height, width, 3)` uint8."""
    rows, columns = np.ogrid[:height, :width]
    line = (rows + columns) % STRIPE < STRIPE // 3
    return np.where(line[..., None], *np.array(HATCHED, np.uint8))


def resized(values: np.ndarray, side: int) -> np.ndarray:
    """An image or a map of labels as a square of `side` pixels; maps take the nearest pixel."""
    if values.ndim == 2:
        return cv2.resize(values, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    shrinks = side < values.shape[0]
    return cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _borders(labels: np.ndarray) -> np.ndarray:
    """Pixels whose right or lower neighbour is of another class."""
    borders = np.zeros(labels.shape, bool)
    borders[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    borders[:-1] |= labels[1:] != labels[:-1]
    return borders
