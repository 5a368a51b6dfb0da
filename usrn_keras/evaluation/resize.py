"""Images at other sizes, and their predictions back at the size of the image."""

from __future__ import annotations

import cv2
import numpy as np

CHANNELS_AT_ONCE = 128  # OpenCV 5 takes no more


def scaled(image: np.ndarray, scale: float) -> np.ndarray:
    """An image `scale` times as large: shrunk by mean areas, so without aliasing, or enlarged bilinearly.

    Args:
        image: (height, width, 3) uint8.
        scale: Above 0; sides are rounded, and are at least 1.
    """
    height, width = (max(1, round(scale * size)) for size in image.shape[:2])
    if (height, width) == image.shape[:2]:
        return image
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=method)


def resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """`values` (h, w, C) float32 at `(height, width, C)`, bilinearly, with half-pixel centres."""
    if values.shape[:2] == (height, width):
        return values
    parts = [
        cv2.resize(np.ascontiguousarray(part), (width, height), interpolation=cv2.INTER_LINEAR)
        for part in np.split(values, range(CHANNELS_AT_ONCE, values.shape[-1], CHANNELS_AT_ONCE), axis=-1)
    ]
    return np.concatenate([part.reshape(height, width, -1) for part in parts], axis=-1)
