"""Windows that slide over an image, and the mean of what is predicted in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from usrn_keras.data.batches.padding import IMAGE_MEAN


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First pixels of the windows along a side; the last window is shifted inward to end with the image.

    Args:
        size: Of the side in pixels, at least `window`.
        window: In pixels.
        overlap: Share of a window that the next one covers too.

    Example:

    >>> window_starts(100, window=64, overlap=0.5)
    [0, 32, 36]
    """
    step = max(1, int(window * (1 - overlap)))
    return [*range(0, size - window, step), size - window]


def slide(
    image: np.ndarray,
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    window: int,
    overlap: float,
    batch: int = 1,
) -> np.ndarray:
    """The mean, at each pixel, of the predictions of all windows that cover it.

    Args:
        image: (height, width, 3) uint8; where it is smaller than a window, it is padded below and to
            the right, and the padding is cut off the result.
        predict: Windows (batch, window, window, 3) to predictions (batch, window, window, C). It is
            always given `batch` windows, the last time some of them blank, so that it compiles once.
        window: Height and width of a window in pixels.
        overlap: Share of a window that the next one covers too.
        batch: Windows predicted at once.

    Returns:
        (height, width, C) float32.
    """
    padded = _pad_to_window(image, window)
    total, covered = None, np.zeros((*padded.shape[:2], 1), np.float32)
    for places, windows in _batches(padded, window, overlap, batch):
        predicted = predict(windows)
        if total is None:
            total = np.zeros((*padded.shape[:2], predicted.shape[-1]), np.float32)
        for (top, left), values in zip(places, predicted, strict=False):  # those of blank windows are left
            total[top : top + window, left : left + window] += values
            covered[top : top + window, left : left + window] += 1
    height, width = image.shape[:2]
    return (total / covered)[:height, :width]


def _batches(
    image: np.ndarray, window: int, overlap: float, batch: int
) -> Iterator[tuple[list[tuple[int, int]], np.ndarray]]:
    """Places `(top, left)` and their windows, `batch` at a time."""
    rows, columns = (window_starts(size, window, overlap) for size in image.shape[:2])
    places = list(product(rows, columns))
    for begin in range(0, len(places), batch):
        here = places[begin : begin + batch]
        windows = np.zeros((batch, window, window, 3), image.dtype)
        for blank, (top, left) in zip(windows, here, strict=False):
            blank[:] = image[top : top + window, left : left + window]
        yield here, windows


def _pad_to_window(image: np.ndarray, window: int) -> np.ndarray:
    height, width = image.shape[:2]
    if min(height, width) >= window:
        return image
    padded = np.empty((max(height, window), max(width, window), 3), image.dtype)
    padded[:] = IMAGE_MEAN
    padded[:height, :width] = image
    return padded
