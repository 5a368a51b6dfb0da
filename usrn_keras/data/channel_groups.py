"""Functions of OpenCV for images of any number of channels: some of them take no more than four."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST_CHANNELS = 4


def by_channel_groups(function: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """Apply a function to groups of up to four channels.

    There are no groups of two: `cv2.warpAffine` of OpenCV 5 interpolates them less exactly than others, by up
    to 3 of 255.

    Args:
        function: Function of an image that computes each channel alone, such as a resize of OpenCV; the axis
            of a single channel may be missing in its result.
        image: `(height, width, channels)`.

    Returns:
        `(new height, new width, channels)`. One, three and four channels are one call.

    Example:

    >>> by_channel_groups(lambda part: part[::2], np.zeros((4, 3, 6))).shape
    (2, 3, 6)
    """
    sizes = _group_sizes(image.shape[-1])
    if len(sizes) == 1:
        return _with_channels(function(image), image.shape[-1])
    groups = np.split(image, np.cumsum(sizes)[:-1], axis=-1)
    parts = [_with_channels(function(np.ascontiguousarray(group)), group.shape[-1]) for group in groups]
    return np.concatenate(parts, axis=-1)


def _group_sizes(channels: int) -> list[int]:
    """Sizes of the groups: 1, 3 or 4.

    Example:

    >>> [_group_sizes(channels) for channels in (2, 3, 5, 6, 10)]
    [[1, 1], [3], [4, 1], [3, 3], [4, 3, 3]]
    """
    if channels == 2:
        return [1, 1]
    whole, rest = divmod(channels, MOST_CHANNELS)
    if rest == 2:
        return [MOST_CHANNELS] * (whole - 1) + [3, 3]
    return [MOST_CHANNELS] * whole + [rest] * (rest > 0)


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    return image.reshape(*image.shape[:2], channels)
