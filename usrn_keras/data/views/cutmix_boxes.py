"""Random boxes for CutMix, drawn on the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class CutMixBoxes(Protocol):
    """Distribution of the boxes of CutMix: a pixel in an odd number of boxes shows the other image."""

    def draw(self, rng: np.random.Generator, images: int, height: int, width: int) -> np.ndarray:
        """Draw the boxes of some images.

        Args:
            rng: Random generator.
            images: Number of images.
            height: Height of an image in pixels.
            width: Width of an image in pixels.

        Returns:
            `(images, boxes, 4)` int32: top, left, bottom and right in pixels; bottom and right are exclusive.
        """
        ...


@dataclass(frozen=True)
class SeveralBoxes:
    """Several boxes that share an area, as in CutMix-Seg and the official code of CPS.

    For each of n boxes an area share `a` is uniform in `area`; its height is `a^u` of the image with u
    uniform in 0..1 and its width `a / a^u`, both divided by `sqrt(n)`; its place is uniform in the image.

    Args:
        count: Number of boxes n.
        area: Smallest and largest area share, before the division by n.

    Example:

    >>> SeveralBoxes().draw(np.random.default_rng(0), images=2, height=48, width=64).shape
    (2, 3, 4)
    """

    count: int = 3
    area: tuple[float, float] = (0.25, 0.5)

    def draw(self, rng: np.random.Generator, images: int, height: int, width: int) -> np.ndarray:
        shape, size = (images, self.count), np.array([height, width])
        share = rng.uniform(*self.area, size=shape)
        tall = np.exp(rng.uniform(0.0, 1.0, size=shape) * np.log(share))
        sides = np.stack([tall, share / tall], axis=-1) / np.sqrt(self.count)
        sides = np.round(sides * size)
        corners = np.round((size - sides) * rng.uniform(0.0, 1.0, size=sides.shape))
        return np.concatenate([corners, corners + sides], axis=-1).astype(np.int32)


@dataclass(frozen=True)
class BetaBox:
    """One box in every image, all of one random size, as in the official code of AugSeg.

    The area share has a Beta distribution and is drawn once for all images. The centre is uniform from one
    eighth of the image on, and the part of a box outside the image is lost.

    Args:
        alpha: First parameter of the Beta distribution; the mean share is `alpha / (alpha + beta)`.
        beta: Second parameter.

    Example:

    >>> boxes = BetaBox(4, 4).draw(np.random.default_rng(0), images=2, height=64, width=64)
    >>> boxes.shape, int(boxes.min()) >= 0, int(boxes.max()) <= 64
    ((2, 1, 4), True, True)
    """

    alpha: float
    beta: float

    def draw(self, rng: np.random.Generator, images: int, height: int, width: int) -> np.ndarray:
        size = np.array([height, width])
        half = (size * np.sqrt(rng.beta(self.alpha, self.beta))).astype(int) // 2
        centres = rng.integers(size // 8, size, (images, 1, 2))
        corners = [np.clip(centres - half, 0, size), np.clip(centres + half, 0, size)]
        return np.concatenate(corners, axis=-1).astype(np.int32)


@dataclass(frozen=True)
class OneBox:
    """One box with some probability, as in the official code of UniMatch and of its FixMatch.

    The area share is uniform in `area`, height / width is uniform in `aspect` (so most boxes are taller than
    wide), and a box that does not fit is drawn again with the same area.

    Args:
        probability: Probability of a box; without one the box is empty.
        area: Smallest and largest area share.
        aspect: Smallest and largest height / width.

    Example:

    >>> boxes = OneBox(probability=1.0).draw(np.random.default_rng(0), images=2, height=64, width=64)
    >>> boxes.shape, bool((boxes[..., 2:] > boxes[..., :2]).all())
    ((2, 1, 4), True)
    """

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.4)
    aspect: tuple[float, float] = (0.3, 1 / 0.3)

    def draw(self, rng: np.random.Generator, images: int, height: int, width: int) -> np.ndarray:
        boxes = [self._box(rng, height, width) for _ in range(images)]
        return np.array(boxes, np.int32)[:, None]

    def _box(self, rng: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
        if rng.random() >= self.probability:
            return 0, 0, 0, 0
        pixels = rng.uniform(*self.area) * height * width
        while True:
            aspect = rng.uniform(*self.aspect)
            rows, columns = int(np.sqrt(pixels * aspect)), int(np.sqrt(pixels / aspect))
            top, left = int(rng.integers(height)), int(rng.integers(width))
            if top + rows <= height and left + columns <= width:
                return top, left, top + rows, left + columns
