"""From the painted canvas to a photograph: roll, exposure, lens, sensor."""

from __future__ import annotations

import cv2
import numpy as np

from usrn_keras.quickstart.canvas import Canvas
from usrn_keras.quickstart.noise import smooth_noise


def photograph(
    rng: np.random.Generator, canvas: Canvas, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Image `(height, width, 3)` uint8 RGB and mask `(height, width)` uint8 of that size."""
    image, mask = _roll(rng, canvas.image, canvas.mask)
    image = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    mask = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
    image *= (1 + 0.05 * smooth_noise(rng, size, 6, 4))[..., None]
    return _sense(rng, _expose(rng, image)), mask


def _roll(rng, image, mask):
    """Turn both alike by a few degrees about the middle: no camera is held quite level."""
    height, width = mask.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), rng.normal(0, 1.2), 1.04)
    image = cv2.warpAffine(
        image, turn, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    mask = cv2.warpAffine(mask, turn, (width, height), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT)
    return image, mask


def _expose(rng, image):
    """Exposure, white balance, tone curve and slight blur of the lens."""
    balance = rng.uniform(0.85, 1.15) * (1 + rng.normal(0, 0.04, 3).astype(np.float32))
    image = np.clip(image * balance.astype(np.float32), 0, 1) ** rng.uniform(0.8, 1.15)
    sigma = rng.uniform(0.3, 0.65)
    return cv2.GaussianBlur(image, (5, 5), sigma)


def _sense(rng, image):
    """Noise of the sensor, stronger where there is more light, and eight bits."""
    level = rng.uniform(0.004, 0.016)
    noise = rng.standard_normal(image.shape, dtype=np.float32) * level * (0.5 + np.sqrt(np.clip(image, 0, 1)))
    return np.round(np.clip(image + noise, 0, 1) * 255).astype(np.uint8)
