"""Two overlapping crops of one scaled image, and the positions of a feature map that both show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from usrn_keras.data.views.weak_view import Window

STRIDE = 8  # pixels of an image per position of a feature map
TRIES = 50
SMALLEST_IOU = 0.1


def second_window(rng: np.random.Generator, first: Window, flip: float = 0.5) -> Window:
    """Draw a second window that overlaps a first one of the same scaled image, as in CAC.

    Its place is uniform in the image, moved by less than 8 pixels so that both windows differ by multiples of
    8. It is drawn until the intersection over union of both windows is at least 0.1, at most 50 times; after
    that it is the place of the first window.

    Args:
        rng: Random generator.
        first: The first window.
        flip: Probability of a horizontal flip of the second window.

    Example:

    >>> first = Window(height=300, width=400, top=3, left=5, crop_size=64, flip=False)
    >>> second = second_window(np.random.default_rng(0), first)
    >>> (second.top - 3) % 8, (second.left - 5) % 8, second.height
    (0, 0, 300)
    """
    size, start = first.crop_size, np.array([first.top, first.left])
    largest = np.maximum(np.array([first.height, first.width]) - size, 0)
    place = start
    for _ in range(TRIES):
        drawn = start + (rng.integers(0, largest, endpoint=True) - start) // STRIDE * STRIDE
        drawn = np.where(drawn < 0, drawn + STRIDE, drawn)
        common = np.maximum(size - abs(drawn - start), 0).prod()
        if common >= SMALLEST_IOU * (2 * size**2 - common):
            place = drawn
            break
    return replace(first, top=int(place[0]), left=int(place[1]), flip=bool(rng.random() < flip))


def overlaps(firsts: Iterable[Window], seconds: Iterable[Window]) -> dict[str, np.ndarray]:
    """Find the `overlap` of each of several pairs of windows.

    Args:
        firsts: The first windows.
        seconds: The second windows.

    Returns:
        `overlap_1` and `overlap_2` `(pairs, P)` int32 and `overlap_valid` `(pairs, P)` bool.
    """
    found = zip(*(overlap(*pair) for pair in zip(firsts, seconds, strict=True)), strict=True)
    names = ("overlap_1", "overlap_2", "overlap_valid")
    return {name: np.stack(values) for name, values in zip(names, found, strict=True)}


def overlap(first: Window, second: Window) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the positions of two windows of one image that show the same place, at stride 8.

    A position is `row * columns + column` in the feature map of a window as it is cut, mirrored or not, and
    counts if its 8 x 8 pixels are image in both windows, and not padding.

    Args:
        first: The first window.
        second: The second window; its place differs by multiples of 8.

    Returns:
        Three arrays `(P,)` for P = `(crop_size // 8) ** 2`, an entry per position of the first window before
        it is mirrored: positions in the first and in the second window, int32 (0 where they do not count),
        and whether they count, bool.

    Example:

    >>> first = Window(height=16, width=24, top=0, left=0, crop_size=16, flip=False)
    >>> second = Window(height=16, width=24, top=0, left=8, crop_size=16, flip=True)
    >>> [found.tolist() for found in overlap(first, second)]  # the right column of the first window
    [[0, 1, 0, 3], [0, 1, 0, 3], [False, True, False, True]]
    """
    side = first.crop_size // STRIDE
    rows, columns = np.divmod(np.arange(side**2), side)
    down, right = (second.top - first.top) // STRIDE, (second.left - first.left) // STRIDE
    top, left, bottom, end = first.filled_box
    is_image = (rows < (bottom - top) // STRIDE) & (columns < (end - left) // STRIDE)
    there = np.stack([rows - down, columns - right])
    shown = is_image & ((there >= 0) & (there < side)).all(axis=0)

    def positions(window: Window, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        columns = side - 1 - columns if window.flip else columns
        return np.where(shown, rows * side + columns, 0).astype(np.int32)

    return positions(first, rows, columns), positions(second, *there), shown
