"""Functions of OpenCV for images of any number of channels: some of them take no more than four."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST_CHANNELS = 4


def by_channel_groups(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Apply a function to groups of up to four channels.

    Args:
        function: Function of an image that computes each channel alone, such as a resize of OpenCV; the axis
            of a single channel may be missing in its result.
        image: `(height, width, channels)`.

    Returns:
        `(new height, new width, channels)`. Up to four channels are one call.

    Example:

    >>> by_channel_groups(lambda part: part[::2], np.zeros((4, 3, 6))).shape
    (2, 3, 6)
    """
    channels = image.shape[-1]
    if channels <= MOST_CHANNELS:
        return _with_channels(function(image), channels)
    groups = np.split(image, range(MOST_CHANNELS, channels, MOST_CHANNELS), axis=-1)
    parts = [_with_channels(function(np.ascontiguousarray(group)), group.shape[-1]) for group in groups]
    return np.concatenate(parts, axis=-1)


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    return image.reshape(*image.shape[:2], channels)
