"""Draw the regions of annotations as masks.

Two rules are in use. LabelMe and Cityscapes draw a polygon with Pillow, outline included: a point is a pixel.
COCO and formats with coordinates in shares of the image measure from the corner of the image, where the pixel
(0, 0) covers the square from (0, 0) to (1, 1): a pixel belongs to the polygon if its centre does.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

SAMPLES = 5  # per pixel side, as in pycocotools


def drawn(height: int, width: int, draw: Callable[[ImageDraw.ImageDraw], object]) -> np.ndarray:
    """Draw with Pillow; `draw` must use the fill value 1.

    Returns:
        `(height, width)` bool.

    Example:

    >>> drawn(2, 4, lambda pencil: pencil.rectangle([1, 0, 2, 1], fill=1)).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    canvas = Image.new("L", (width, height))
    draw(ImageDraw.Draw(canvas))
    return np.asarray(canvas) > 0


def inside_polygon(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Find the pixels inside a polygon exactly as pycocotools does (even-odd rule, edges sampled 5-fold).

    Args:
        points: Corners x and y in pixels from the corner of the image, `(points, 2)` float.
        height: Height of the image.
        width: Width of the image.

    Returns:
        `(height, width)` bool.

    Example:

    >>> inside_polygon(np.array([[1, 0], [3, 0], [3, 1], [1, 1]]), 2, 4).astype(int).tolist()
    [[0, 1, 1, 0], [0, 0, 0, 0]]

    Source: `rleFrPoly` of pycocotools (BSD).
    """
    corners = (SAMPLES * np.asarray(points, np.float64) + 0.5).astype(np.int64)  # truncated, as in C
    columns, rows = _edge(corners)
    places = np.flatnonzero(columns[1:] != columns[:-1]) + 1
    before, after = columns[places - 1], columns[places]
    x = (np.where(after < before, after, after - 1) + 0.5) / SAMPLES - 0.5
    y = (np.minimum(rows[places], rows[places - 1]) + 0.5) / SAMPLES - 0.5
    kept = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    x, y = x[kept].astype(np.int64), np.ceil(np.clip(y[kept], 0, height)).astype(np.int64)
    mask = np.zeros((height, width), bool)
    if len(x):
        # Every crossing of a column switches between outside and inside, from there on down.
        first, last = x.min(), x.max() + 1
        switches = np.bincount((x - first) * height + y, minlength=(last - first) * height + 1)
        inside = np.bitwise_xor.accumulate((switches[:-1] & 1).astype(bool))
        mask[:, first:last] = inside.reshape(last - first, height).T
    return mask


def _edge(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sample the closed outline at every integer of its longer direction."""
    columns, rows = [], []
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        dx, dy = abs(x1 - x0), abs(y1 - y0)
        flipped = x0 > x1 if dx >= dy else y0 > y1
        (xs, ys), (xe, ye) = ((x1, y1), (x0, y0)) if flipped else ((x0, y0), (x1, y1))
        steps = np.arange(max(dx, dy) + 1)
        steps = steps[::-1] if flipped else steps
        if dx >= dy:
            slope = (ye - ys) / dx if dx else 0.0
            columns.append(steps + xs)
            rows.append((ys + slope * steps + 0.5).astype(np.int64))
        else:
            columns.append((xs + (xe - xs) / dy * steps + 0.5).astype(np.int64))
            rows.append(steps + ys)
    return np.concatenate(columns), np.concatenate(rows)


def inside_ellipse(
    centre: tuple[float, float], radii: tuple[float, float], degrees: float, height: int, width: int
) -> np.ndarray:
    """Find the pixels whose centre is inside an ellipse, `(height, width)` bool.

    Args:
        centre: Centre x and y in pixels from the corner of the image.
        radii: Radii in x and y in pixels, before the rotation.
        degrees: Clockwise rotation about the centre.
        height: Height of the image.
        width: Width of the image.
    """
    y, x = np.mgrid[:height, :width] + 0.5
    angle = np.deg2rad(degrees)
    along = (x - centre[0]) * np.cos(angle) + (y - centre[1]) * np.sin(angle)
    across = (y - centre[1]) * np.cos(angle) - (x - centre[0]) * np.sin(angle)
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1


def placed(bitmap: np.ndarray, left: int, top: int, height: int, width: int) -> np.ndarray:
    """Place a bitmap (bool) in an image at the pixel (left, top); what reaches beyond is cut off."""
    mask = np.zeros((height, width), bool)
    y, x = max(0, top), max(0, left)
    part = bitmap[y - top : max(0, height - top), x - left : max(0, width - left)]
    mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    return mask
