"""Prediction in windows that slide over an image, averaged where windows overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product

import numpy as np

from usrn_keras.data.batches.padding import fill_batch, neutral_colour


def window_starts(size: int, window: int, overlap: float) -> list[int]:
    """First pixel of each window along a side; the last window is shifted to end with the image.

    Args:
        size: Length of the side in pixels, at least `window`.
        window: Length of a window in pixels.
        overlap: Share of a window that the next window covers too.

    Example:

    >>> window_starts(100, window=64, overlap=0.5)
    [0, 32, 36]
    """
    step = max(1, int(window * (1 - overlap)))
    return [*range(0, size - window, step), size - window]


def slide(
    images: Iterable[np.ndarray],
    predict: Callable[[np.ndarray], np.ndarray],
    *,
    window: int,
    overlap: float,
    batch: int = 1,
) -> Iterator[np.ndarray]:
    """Average the predictions of all windows that cover a pixel, for each pixel of each image.

    Args:
        images: (height, width, bands) uint8; an image smaller than a window is padded below and to the
            right, and the padding is cut off the result.
        predict: Function from windows (batch, window, window, bands) to predictions (batch, window, window,
            C). It always receives `batch` windows, possibly of several images, at the end blank ones, so
            that it compiles once.
        window: Height and width of a window in pixels.
        overlap: Share of a window that the next window covers too.
        batch: Number of windows predicted at once.

    Yields:
        (height, width, C) float32 of each image, as soon as its last window is predicted.
    """
    windowed = (WindowedImage(image, window, overlap) for image in images)
    todo = ((image, place) for image in windowed for place in image.places)
    while here := list(islice(todo, batch)):
        windows = fill_batch(np.stack([image.cut(place) for image, place in here]), batch)
        for (image, place), values in zip(here, predict(windows), strict=False):  # not of blank windows
            image.add(place, values)
            if not image.missing:
                yield image.mean()


class WindowedImage:
    """An image and the sum of the predictions in its windows so far.

    Attributes:
        places: `(top, left)` of each window, row by row.
        missing: Number of windows that are not predicted yet.
    """

    def __init__(self, image: np.ndarray, window: int, overlap: float):
        self._window, self._size = window, image.shape[:2]
        self._image = _pad_to_window(image, window)
        rows, columns = (window_starts(size, window, overlap) for size in self._image.shape[:2])
        self.places = list(product(rows, columns))
        self.missing = len(self.places)
        self._total: np.ndarray | None = None
        self._covered = np.zeros((*self._image.shape[:2], 1), np.float32)

    def cut(self, place: tuple[int, int]) -> np.ndarray:
        """Cut out the window `(window, window, channels)` at a place."""
        return self._image[self._at(place)]

    def add(self, place: tuple[int, int], values: np.ndarray) -> None:
        """Add the prediction at a place, `(window, window, C)`."""
        if self._total is None:
            self._total = np.zeros((*self._image.shape[:2], values.shape[-1]), np.float32)
        self._total[self._at(place)] += values
        self._covered[self._at(place)] += 1
        self.missing -= 1

    def mean(self) -> np.ndarray:
        """Average over the windows at each pixel, `(height, width, C)`; call it once, at the end."""
        height, width = self._size
        self._total /= self._covered
        return self._total[:height, :width]

    def _at(self, place: tuple[int, int]) -> tuple[slice, slice]:
        return tuple(slice(start, start + self._window) for start in place)


def _pad_to_window(image: np.ndarray, window: int) -> np.ndarray:
    height, width = image.shape[:2]
    if min(height, width) >= window:
        return image
    channels = image.shape[-1]
    padded = np.empty((max(height, window), max(width, window), channels), image.dtype)
    padded[:] = neutral_colour(channels)
    padded[:height, :width] = image
    return padded
