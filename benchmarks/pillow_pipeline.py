"""The input pipeline of the official USRN code as its public description goes, in Pillow and numpy.

Written anew as the peer of `benchmarks/pipeline.py`; it leaves out what the official code does on top of
this on the host (images as float32, normalisation), so that it is faster than the official one, not slower.
Whole images are decoded by Pillow and resized bicubically by Pillow before the crop is cut; masks are resized
by OpenCV; the strong view is a 5x5 blur by OpenCV and colour jitter by Pillow, as torchvision does it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageEnhance

MEAN = (124, 116, 104)
IGNORED = 255


@dataclass
class PillowPipeline:
    """Weak views of labelled images and weak and strong views of unlabelled ones.

    Args:
        crop: Height and width of a view.
        long_side: Long side of an image at scale 1.
        keep: Decoded files stay in memory.
    """

    crop: int
    long_side: int
    keep: bool
    _kept: dict[Path, np.ndarray] = field(default_factory=dict)

    def labelled(self, rng: np.random.Generator, image: Path, mask: Path) -> tuple[np.ndarray, np.ndarray]:
        """`(crop, crop, 3)` uint8 and `(crop, crop)` int32."""
        pixels, ids = self._read(image), self._read(mask)
        height, width = self._scaled(rng, pixels.shape, 0.5)
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
        ids = cv2.resize(ids.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
        return self._cut(rng, pixels, ids)

    def unlabelled(self, rng: np.random.Generator, image: Path) -> tuple[np.ndarray, np.ndarray]:
        """The weak and the strong view, each `(crop, crop, 3)` uint8."""
        pixels = self._read(image)
        height, width = self._scaled(rng, pixels.shape, 0.8)
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
        (weak,) = self._cut(rng, pixels)
        return weak, strong(rng, weak)

    def _read(self, path: Path) -> np.ndarray:
        if path in self._kept:
            return self._kept[path]
        with Image.open(path) as file:
            array = np.asarray(file)
        if self.keep:
            self._kept[path] = array
        return array

    def _scaled(self, rng: np.random.Generator, shape: tuple[int, ...], smallest: float) -> tuple[int, int]:
        long_side = rng.integers(int(self.long_side * smallest), 2 * self.long_side, endpoint=True)
        factor = long_side / max(shape[:2])
        return int(shape[0] * factor + 0.5), int(shape[1] * factor + 0.5)

    def _cut(self, rng: np.random.Generator, *arrays: np.ndarray) -> tuple[np.ndarray, ...]:
        height, width = arrays[0].shape[:2]
        missing = max(0, self.crop - height), max(0, self.crop - width)
        if any(missing):
            arrays = tuple(_padded(array, *missing) for array in arrays)
        top = rng.integers(0, max(0, height - self.crop), endpoint=True)
        left = rng.integers(0, max(0, width - self.crop), endpoint=True)
        window = np.s_[top : top + self.crop, left : left + self.crop]
        mirrored = rng.random() < 0.5
        return tuple((array[window][:, ::-1] if mirrored else array[window]).copy() for array in arrays)


def _padded(array: np.ndarray, below: int, right: int) -> np.ndarray:
    value = MEAN if array.ndim == 3 else IGNORED
    return cv2.copyMakeBorder(array, 0, below, 0, right, cv2.BORDER_CONSTANT, value=value)


def strong(rng: np.random.Generator, weak: np.ndarray) -> np.ndarray:
    """Blur with p 0.5, jitter with p 0.8 in a random order, grey with p 0.2; `(height, width, 3)` uint8."""
    pixels = cv2.GaussianBlur(weak, (5, 5), 0) if rng.random() < 0.5 else weak
    image = Image.fromarray(pixels)
    if rng.random() < 0.8:
        parts: list[Callable[[Image.Image], Image.Image]] = [
            lambda image: ImageEnhance.Brightness(image).enhance(rng.uniform(0.6, 1.4)),
            lambda image: ImageEnhance.Contrast(image).enhance(rng.uniform(0.6, 1.4)),
            lambda image: ImageEnhance.Color(image).enhance(rng.uniform(0.6, 1.4)),
            lambda image: turned_hue(image, rng.uniform(-0.1, 0.1)),
        ]
        for part in rng.permutation(4):
            image = parts[part](image)
    if rng.random() < 0.2:
        image = image.convert("L").convert("RGB")
    return np.asarray(image)


def turned_hue(image: Image.Image, turns: float) -> Image.Image:
    """Hue shifted by `turns` of the colour circle, in steps of 1/256."""
    hue, saturation, value = image.convert("HSV").split()
    shifted = np.asarray(hue) + np.uint8(int(turns * 255) % 256)  # wraps around
    return Image.merge("HSV", (Image.fromarray(shifted, "L"), saturation, value)).convert("RGB")
