"""The range of values that 16-bit images use, and a proposal of `data.value_range`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.decoding.images import read_values
from usrn_keras.recipe.bands import Bands

SAMPLED_IMAGES = 100  # whose values stand for those of all images
LEVELS = 65536
TAIL = 0.001  # share of the pixels that may be clipped on each side, such as hot pixels
WIDE = 0.5  # share of all values; images that use more are read well by their upper eight bits
NEAR_ZERO = 0.1  # share of the range below which its start becomes 0


@dataclass(frozen=True, eq=False)
class ValueHistogram:
    """Pixels of each value of 16-bit images.

    Args:
        counts: Number of pixels by value, int64 of shape `(65536,)`; the first is the value `lowest`.
        lowest: 0, or -32768 for signed numbers.
        images: Number of images.
    """

    counts: np.ndarray
    lowest: int = 0
    images: int = 1

    def __add__(self, other: ValueHistogram) -> ValueHistogram:
        """Add the pixels of both; of signed and unsigned numbers, values keep their meaning."""
        lowest = min(self.lowest, other.lowest)
        counts = np.zeros(LEVELS, np.int64)
        for one in (self, other):
            shift = one.lowest - lowest
            counts[shift:] += one.counts[: LEVELS - shift]
            counts[-1] += one.counts[LEVELS - shift :].sum() if shift else 0
        return ValueHistogram(counts, lowest, self.images + other.images)

    @property
    def extremes(self) -> tuple[int, int]:
        """Smallest and largest value that occurs."""
        found = np.flatnonzero(self.counts)
        return int(found[0]) + self.lowest, int(found[-1]) + self.lowest

    @property
    def levels(self) -> int:
        """Number of grey levels that the upper eight bits hold."""
        return int(np.count_nonzero(self.counts.reshape(256, 256).any(axis=1)))

    def propose(self) -> tuple[int, int] | None:
        """Propose a value range; None if the upper eight bits hold the images well.

        Example:

        >>> counts = np.zeros(65536, np.int64)
        >>> counts[100:4000] = 5
        >>> ValueHistogram(counts).propose()
        (0, 3999)
        """
        low, high = self.extremes
        if high == low:
            return None
        shares = np.cumsum(self.counts) / self.counts.sum()
        usual_high = int(np.searchsorted(shares, 1 - TAIL)) + self.lowest
        usual_low = int(np.searchsorted(shares, TAIL)) + self.lowest
        high = high if high - low <= 1.5 * max(1, usual_high - low) else usual_high
        low = low if high - low <= 1.5 * max(1, high - usual_low) else usual_low
        if 0 <= low < NEAR_ZERO * high:
            low = 0
        if self.lowest == 0 and high - low > WIDE * LEVELS:
            return None
        return (low, high) if high > low else None


def count_image_values(path: Path, bands: Bands | None = None) -> ValueHistogram:
    """Count the values of a 16-bit image.

    Args:
        path: Path of the file.
        bands: Bands to count; None for red, green and blue.

    Raises:
        DataError: The file cannot be read.
    """
    values = read_values(path, bands)
    lowest = -32768 if values.dtype == np.int16 else 0
    counts = np.bincount(values.astype(np.int32).ravel() - lowest, minlength=LEVELS)
    return ValueHistogram(counts.astype(np.int64), lowest)


def add_histograms(histograms: Iterable[ValueHistogram]) -> ValueHistogram | None:
    """Add the pixels of several images; None without any."""
    total = None
    for one in histograms:
        total = one if total is None else total + one
    return total
