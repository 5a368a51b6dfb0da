"""Strong views of AugSeg: a few random changes of intensity, on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

Change = Callable[[Image.Image, float], Image.Image]

FACTORS = (0.05, 0.95)  # of contrast, brightness, colour and sharpness: below 1, so each is only lowered
SIGMAS = (0.1, 2.0)  # of the blur, in pixels


@dataclass(frozen=True)
class RandomIntensity:
    """Random intensity-based augmentation of AugSeg (arXiv 2212.04976), with Pillow as in the official code.

    The number of changes of an image is uniform in 1 to `most`. Each is drawn from eleven, with repetition:
    none, autocontrast, equalize, blur, contrast, brightness, colour, sharpness, posterize, solarize, hue. Its
    strength is uniform in the range of the official code. Unlike in RandAugment, no strength is to be tuned.

    All random numbers are parameters, so that a view is a function of the image and its parameters.

    Args:
        most: Largest number of changes of an image.

    Example:

    >>> view = RandomIntensity()
    >>> parameters = view.draw(np.random.default_rng(0), 2)
    >>> parameters.shape, view(np.zeros((2, 32, 32, 3), np.uint8), parameters).shape
    ((2, 3, 2), (2, 32, 32, 3))
    """

    most: int = 3

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """Draw the parameters of the strong views of `n` images.

        Args:
            rng: Random generator.
            n: Number of images.

        Returns:
            `(n, most, 2)` float32: the number of each change in `CHANGES`, and its strength, uniform in
            -1..1. The changes beyond those of an image are none.
        """
        count = rng.integers(1, self.most, (n, 1), endpoint=True)
        changes = rng.integers(0, len(CHANGES), (n, self.most))
        changes = np.where(np.arange(self.most) < count, changes, 0)
        strengths = rng.uniform(-1.0, 1.0, (n, self.most))
        return np.stack([changes, strengths], axis=-1).astype(np.float32)

    def __call__(self, images: np.ndarray, parameters: np.ndarray) -> np.ndarray:
        """Compute the strong views of a batch. Thread-safe.

        Args:
            images: RGB images `(batch, height, width, 3)` uint8.
            parameters: Parameters `(batch, most, 2)` float32 from `draw`.

        Returns:
            `(batch, height, width, 3)` uint8.
        """
        return np.stack(
            [self._view(image, changes) for image, changes in zip(images, parameters, strict=True)]
        )

    def _view(self, image: np.ndarray, changes: np.ndarray) -> np.ndarray:
        changed = Image.fromarray(image)
        for number, strength in changes.tolist():
            changed = CHANGES[int(number)](changed, strength)
        return np.asarray(changed)


def _between(lowest: float, highest: float, strength: float) -> float:
    return lowest + abs(strength) * (highest - lowest)


def _enhanced(kind: Callable[[Image.Image], Any]) -> Change:
    """A change by a class of `PIL.ImageEnhance`."""
    return lambda image, strength: kind(image).enhance(_between(*FACTORS, strength))


def _blurred(image: Image.Image, strength: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(_between(*SIGMAS, strength)))


def _posterized(image: Image.Image, strength: float) -> Image.Image:
    """Keep 4 to 7 bits of each channel."""
    return ImageOps.posterize(image, 8 - max(1, int(np.ceil(4 * abs(strength)))))


def _solarized(image: Image.Image, strength: float) -> Image.Image:
    """Invert the values from a threshold of 1 to 255 on."""
    return ImageOps.solarize(image, 256 - max(1, int(np.ceil(255 * abs(strength)))))


def _turned(image: Image.Image, strength: float) -> Image.Image:
    """Shift the hue by up to half of the colour circle, in HSV of 8 bits."""
    hue, saturation, value = image.convert("HSV").split()
    shift = int(0.5 * strength * 255)
    turned = Image.fromarray(((np.asarray(hue).astype(int) + shift) % 256).astype(np.uint8))
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


CHANGES: tuple[Change, ...] = (
    lambda image, strength: image,
    lambda image, strength: ImageOps.autocontrast(image),
    lambda image, strength: ImageOps.equalize(image),
    _blurred,
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Color),
    _enhanced(ImageEnhance.Sharpness),
    _posterized,
    _solarized,
    _turned,
)
