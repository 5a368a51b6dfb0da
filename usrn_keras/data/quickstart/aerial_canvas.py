"""Pixels of an aerial scene while it is painted, and the random numbers that vary them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from usrn_keras.data.quickstart.looks import CLASSES, LOOKS


@dataclass(frozen=True)
class AerialCanvas:
    """Arrays of a scene.

    Attributes:
        scale: Pixels per metre.
        image: Red, green and blue in sunlight, `(3, rows, columns)` float32 in 0..1.
        mask: Class of each pixel, `(rows, columns)` uint8.
        modes: Look of each pixel within its class, `(rows, columns)` uint8.
        height: Height above the ground in metres, `(rows, columns)` float32.
    """

    scale: float
    image: np.ndarray
    mask: np.ndarray
    modes: np.ndarray
    height: np.ndarray

    @classmethod
    def blank(cls, size: tuple[int, int], scale: float) -> AerialCanvas:
        """Create an empty canvas of `size` (rows, columns)."""
        mask, height = np.zeros(size, np.uint8), np.zeros(size, np.float32)
        return cls(scale, np.zeros((3, *size), np.float32), mask, mask.copy(), height)

    def window(self, rows: slice, columns: slice) -> AerialCanvas:
        """Return a part of the canvas, which shares its pixels."""
        arrays = (array[..., rows, columns] for array in (self.image, self.mask, self.modes, self.height))
        return AerialCanvas(self.scale, *arrays)

    def paint(
        self, where: np.ndarray, name: str, mode: int, mix: np.ndarray, tint: Iterable[np.ndarray]
    ) -> None:
        """Paint a look.

        Args:
            where: Pixels to paint, bool `(rows, columns)`.
            name: Class.
            mode: Number of the look.
            mix: Share of the accent, `(rows, columns)` float32.
            tint: Factor on red, green and blue: numbers or arrays `(rows, columns)` float32.
        """
        look = LOOKS[name][mode]
        for plane, colour, accent, factor in zip(self.image, look.colour, look.accent, tint, strict=True):
            painted = mix * np.float32((accent - colour) / 255)
            painted += np.float32(colour / 255)
            painted *= factor
            np.copyto(plane, painted, where=where)
        np.copyto(self.mask, CLASSES.index(name), where=where)
        np.copyto(self.modes, mode, where=where)


def smooth_noise(rng: np.random.Generator, size: tuple[int, int], cell: float) -> np.ndarray:
    """Draw noise of deviation 1 that varies over about `cell` pixels, `(rows, columns)` float32."""
    rows, columns = size
    noise = rng.standard_normal([int(side / cell) + 2 for side in size], dtype=np.float32)
    if cell > 8:  # cubic interpolation is smooth but slow
        noise = cv2.resize(noise, (columns // 4 + 1, rows // 4 + 1), interpolation=cv2.INTER_CUBIC)
    return cv2.resize(noise, (columns, rows), interpolation=cv2.INTER_LINEAR)


def draw_mode(rng: np.random.Generator, modes: int) -> int:
    """Draw one of `modes` looks. The state of `rng` afterwards is the same for all `modes`."""
    return int(rng.random() * modes)


def draw_tint(rng: np.random.Generator) -> np.ndarray:
    """Draw the factor on the colours of one object, `(3,)` float32."""
    return (rng.normal(1, 0.07) * rng.normal(1, 0.03, 3)).astype(np.float32)


def rotated(
    size: tuple[int, int], centre: tuple[float, float], angle: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the position of each pixel along and across a direction, in metres from `centre`, float32."""
    rows, columns = (
        np.arange(side, dtype=np.float32) - place for side, place in zip(size, centre, strict=True)
    )
    rows, columns = rows[:, None] / np.float32(scale), columns / np.float32(scale)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return columns * cos + rows * sin, rows * cos - columns * sin
