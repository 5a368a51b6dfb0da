"""The canvas of a scene, its eight classes, and random fields for surfaces.

Colours and class ids are always painted together, so that they are consistent.
"""

from __future__ import annotations

import cv2
import numpy as np

CLASSES = ("sky", "road", "building", "tree", "car", "person", "pole", "sign")
SKY, ROAD, BUILDING, TREE, CAR, PERSON, POLE, SIGN = range(len(CLASSES))

PALETTE = np.array(
    [
        (70, 130, 180),
        (128, 64, 128),
        (90, 80, 75),
        (107, 142, 35),
        (0, 0, 142),
        (220, 20, 60),
        (190, 190, 190),
        (250, 220, 0),
    ],
    np.uint8,
)


TILE = 256  # a power of two, so that positions wrap with a bit mask


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int = 3
) -> np.ndarray:
    """Draw a random field `(height, width)` float32 of mean 0 and about unit variance.

    Args:
        rng: Random generator.
        shape: Height and width.
        cells: Number of random values across the width in the first octave.
        octaves: Number of octaves; each has twice the frequency and half the amplitude of the previous one.
    """
    height, width = shape
    field = np.zeros(shape, np.float32)
    for octave in range(octaves):
        across = cells * 2**octave
        down = max(2, round(across * height / max(width, 1)))
        grid = rng.standard_normal((down, max(2, across)), dtype=np.float32)
        field += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR) / 2**octave
    return field


class Grain:
    """A square tile of noise that repeats over a surface measured in metres."""

    def __init__(self, rng: np.random.Generator):
        coarse = smooth_noise(rng, (TILE, TILE), 16, octaves=3)
        self.tile = 0.6 * coarse + 0.6 * rng.standard_normal((TILE, TILE), dtype=np.float32)

    def __call__(self, u: np.ndarray, v: np.ndarray, per_metre: float = 12.0) -> np.ndarray:
        """Evaluate the noise at the points `(u, v)` in metres, arrays that broadcast."""
        return self.tile[_wrapped(u, per_metre), _wrapped(v, per_metre)]


def _wrapped(metres: np.ndarray, per_metre: float) -> np.ndarray:
    return (metres * per_metre).astype(np.int32) & (TILE - 1)


SHIFT = 4  # fractional bits of vertices in OpenCV: the precision of edges is 1/16 pixel


class SceneCanvas:
    """Image `(height, width, 3)` float32 in 0..1 RGB and mask `(height, width)` uint8 of class ids."""

    def __init__(self, size: tuple[int, int]):
        self.image = np.zeros((*size, 3), np.float32)
        self.mask = np.zeros(size, np.uint8)

    def polygon(self, points: np.ndarray, colour: np.ndarray, class_id: int) -> None:
        """Fill the polygon with vertices `(n, 2)` as (column, row) in pixels."""
        vertices = [_fixed_point(points)]
        cv2.fillPoly(self.image, vertices, colour.tolist(), shift=SHIFT)
        cv2.fillPoly(self.mask, vertices, class_id, shift=SHIFT)

    def ellipse(self, centre, radii, colour: np.ndarray, class_id: int) -> None:
        """Fill an upright ellipse; centre and radii as (column, row) in pixels."""
        angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        self.polygon(np.asarray(centre) + ring * np.asarray(radii), colour, class_id)

    def paint(
        self, rows: slice, columns: slice, region: np.ndarray, colours: np.ndarray, class_id: int
    ) -> None:
        """Paint `colours` `(h, w, 3)` where `region` `(h, w)` is true, within a rectangle of the canvas."""
        np.copyto(self.image[rows, columns], colours, where=region[..., None])
        self.mask[rows, columns][region] = class_id

    def darken(self, points: np.ndarray, factor: float) -> None:
        """Multiply the colours inside a polygon: a shadow does not change the class."""
        height, width = self.mask.shape
        first_column, first_row = np.clip(np.floor(points.min(axis=0)), 0, (width, height)).astype(int)
        last_column, last_row = np.clip(np.ceil(points.max(axis=0)) + 1, 0, (width, height)).astype(int)
        region = np.zeros((last_row - first_row, last_column - first_column), np.uint8)
        if region.size:
            cv2.fillPoly(region, [_fixed_point(points - (first_column, first_row))], 1, shift=SHIFT)
            self.image[first_row:last_row, first_column:last_column][region > 0] *= factor


def _fixed_point(points: np.ndarray) -> np.ndarray:
    # The fixed-point numbers of OpenCV overflow far outside the canvas, where nothing is visible.
    return np.round(np.clip(points, -2000, 2000) * (1 << SHIFT)).astype(np.int32)
