"""What is painted: colours and class ids, always together, so that they can never disagree."""

from __future__ import annotations

import cv2
import numpy as np

SHIFT = 4  # bits behind the point in OpenCV's vertices: edges move by 1/16 pixel, not by whole ones


class Canvas:
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
        """Paint `colours` `(h, w, 3)` where `region` `(h, w)` holds, within a rectangle of the canvas."""
        np.copyto(self.image[rows, columns], colours, where=region[..., None])
        self.mask[rows, columns][region] = class_id

    def darken(self, points: np.ndarray, factor: float) -> None:
        """Multiply the colours within a polygon: a shadow changes no class."""
        height, width = self.mask.shape
        first_column, first_row = np.clip(np.floor(points.min(axis=0)), 0, (width, height)).astype(int)
        last_column, last_row = np.clip(np.ceil(points.max(axis=0)) + 1, 0, (width, height)).astype(int)
        region = np.zeros((last_row - first_row, last_column - first_column), np.uint8)
        if region.size:
            cv2.fillPoly(region, [_fixed_point(points - (first_column, first_row))], 1, shift=SHIFT)
            self.image[first_row:last_row, first_column:last_column][region > 0] *= factor


def _fixed_point(points: np.ndarray) -> np.ndarray:
    # OpenCV's fixed point overflows far outside the canvas, where nothing is to be seen anyway.
    return np.round(np.clip(points, -2000, 2000) * (1 << SHIFT)).astype(np.int32)
