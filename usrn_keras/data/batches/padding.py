"""Images of any size, extended to what networks take."""

from __future__ import annotations

import numpy as np

# The mean of ImageNet, so that padding is near zero once the network has normalised it; whole images and
# training crops are padded alike.
IMAGE_MEAN = (124, 116, 104)
STRIDE = 32  # of the deepest features: networks take heights and widths that it divides


def pad_to_stride(image: np.ndarray) -> np.ndarray:
    """Extend an image below and to the right by a mean colour until 32 divides both sides.

    Args:
        image: `(height, width, 3)` uint8.

    Example:

    >>> pad_to_stride(np.zeros((33, 64, 3), "uint8")).shape
    (64, 64, 3)
    """
    height, width = image.shape[:2]
    padded = np.empty((height + -height % STRIDE, width + -width % STRIDE, 3), image.dtype)
    padded[:] = IMAGE_MEAN
    padded[:height, :width] = image
    return padded


def pad_map_to_stride(values: np.ndarray, fill: int) -> np.ndarray:
    """The same for a map `(height, width)`, extended by `fill`."""
    return np.pad(values, [(0, -size % STRIDE) for size in values.shape], constant_values=fill)
