"""A pinhole camera that looks along a street: projects points in metres to pixels, and planes to patches.

World axes: `x` to the right of the camera, `y` upwards from the ground, `z` (depth) ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAREST = 1.5  # metres; nearer parts are clipped, because the projection has a pole at depth 0


@dataclass(frozen=True)
class Patch:
    """The rectangle of the canvas that covers a plane, with the coordinates of the plane at each pixel.

    Attributes:
        rows, columns: Slices of the canvas.
        along: Metres along the plane, `(1, width)`: depth of a side wall, `x` of a front wall.
        height: Metres above the ground, `(height, width)`.
        depth: Metres from the camera, `(1, width)`.
    """

    rows: slice
    columns: slice
    along: np.ndarray
    height: np.ndarray
    depth: np.ndarray


@dataclass(frozen=True)
class Camera:
    """Focal length, horizon row and vanishing column in pixels; eye height in metres."""

    focal: float
    horizon: float
    vanishing: float
    eye: float
    size: tuple[int, int]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points `(..., 3)` in metres to pixels `(..., 2)` as (column, row)."""
        depth = np.maximum(points[..., 2], NEAREST)
        column = self.vanishing + self.focal * points[..., 0] / depth
        row = self.horizon + self.focal * (self.eye - points[..., 1]) / depth
        return np.stack([column, row], axis=-1)

    def pixels(self, metres: float, depth: float) -> float:
        """Convert a length in metres at a depth to pixels."""
        return self.focal * metres / depth

    def entry(self, x: float) -> float:
        """Least depth at which a point at `x` metres is inside the image."""
        border = self.vanishing if x < 0 else self.size[1] - self.vanishing
        return self.focal * abs(x) / border

    @property
    def ground_row(self) -> int:
        """First row below the horizon."""
        return int(np.clip(np.floor(self.horizon) + 1, 0, self.size[0]))

    def ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates `x` `(rows, width)` and `z` `(rows, 1)` in metres of the rows from `ground_row` on."""
        rows = np.arange(self.ground_row, self.size[0], dtype=np.float32)[:, None]
        z = self.focal * self.eye / (rows - self.horizon)
        x = (np.arange(self.size[1], dtype=np.float32)[None] - self.vanishing) * z / self.focal
        return x, z

    def side_wall(self, x: float, near: float, far: float, top: float) -> Patch | None:
        """Project a wall parallel to the street at `x`, from depth `near` to `far`; None if not visible."""
        near = max(near, NEAREST)
        edges = self.vanishing + self.focal * x / np.array([near, far])
        columns = self._columns(*sorted(edges.tolist()))
        if far <= near or columns.size == 0:
            return None
        depth = np.clip(self.focal * x / (columns - self.vanishing), near, far)
        return self._patch(columns, depth, depth, near, top)

    def front_wall(self, z: float, left: float, right: float, top: float) -> Patch | None:
        """Project a wall across the street at depth `z`; None if not visible."""
        edges = self.vanishing + self.focal * np.array([left, right]) / z
        columns = self._columns(*edges.tolist())
        if z <= NEAREST or columns.size == 0:
            return None
        along = (columns - self.vanishing) * z / self.focal
        return self._patch(columns, along, np.full_like(columns, z), z, top)

    def _columns(self, left: float, right: float) -> np.ndarray:
        width = self.size[1]
        first, last = np.ceil(np.clip([left, right], 0, width)).astype(int)
        return np.arange(first, last, dtype=np.float32)

    def _patch(self, columns, along, depth, nearest, top) -> Patch | None:
        edges = self.horizon + self.focal * (self.eye - np.array([top, 0.0])) / nearest
        first, last = np.ceil(np.clip(edges, 0, self.size[0])).astype(int)
        if first == last:
            return None
        rows = np.arange(first, last, dtype=np.float32)[:, None]
        height = self.eye - (rows - self.horizon) * depth[None] / self.focal
        where = slice(int(columns[0]), int(columns[-1]) + 1)
        return Patch(slice(first, last), where, along[None], height, depth[None])
