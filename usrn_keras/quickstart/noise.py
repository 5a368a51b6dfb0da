"""Random fields that make surfaces rough."""

from __future__ import annotations

import cv2
import numpy as np

TILE = 256  # a power of two, so that positions wrap by a mask


def smooth_noise(
    rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int = 3
) -> np.ndarray:
    """Field `(height, width)` float32 of mean 0 and about unit variance, with `cells` bumps across its width.

    Each octave has twice the bumps and half the amplitude of the one before.
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
    """A square of noise that is repeated over a surface measured in metres."""

    def __init__(self, rng: np.random.Generator):
        coarse = smooth_noise(rng, (TILE, TILE), 16, octaves=3)
        self.tile = 0.6 * coarse + 0.6 * rng.standard_normal((TILE, TILE), dtype=np.float32)

    def __call__(self, u: np.ndarray, v: np.ndarray, per_metre: float = 12.0) -> np.ndarray:
        """Noise at the points `(u, v)` in metres (arrays that broadcast)."""
        return self.tile[_wrapped(u, per_metre), _wrapped(v, per_metre)]


def _wrapped(metres: np.ndarray, per_metre: float) -> np.ndarray:
    return (metres * per_metre).astype(np.int32) & (TILE - 1)
