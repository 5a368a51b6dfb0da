"""Read the image of a sample as its recipe asks, and show images of any bands as RGB."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.dataset import Sample
from usrn_keras.data.decoding.images import image_size, read_image
from usrn_keras.recipe.bands import Bands

SHOWN_SHARES = (0.02, 0.98)  # of the pixels of a band, which become black and white


def read_sample_image(sample: Sample, *, at_least: int = 0) -> np.ndarray:
    """Read the image of a sample, `(height, width, bands)` uint8, see `read_image`.

    Args:
        sample: Sample with the path of the image, its bands and its value range.
        at_least: Long side in pixels that is sufficient; 0 reads the whole image.

    Raises:
        DataError: The file cannot be read.
    """
    return read_image(sample.image, at_least=at_least, value_range=sample.value_range, bands=sample.bands)


def sample_size(sample: Sample) -> tuple[int, int]:
    """Read the height and width of the image of a sample from its header.

    Raises:
        DataError: The file is missing or not an image of the bands of the sample.
    """
    return image_size(sample.image, sample.bands)


def as_rgb(image: np.ndarray, bands: Bands | None = None) -> np.ndarray:
    """Show an image of any bands as RGB, for people.

    Red, green and blue are shown where they are among the bands. Of other bands the first three are shown as
    red, green and blue, or one or two as grey, each stretched from its 2 % to its 98 % quantile.

    Args:
        image: `(height, width, bands)` uint8.
        bands: Bands of the image; None for red, green and blue.

    Returns:
        `(height, width, 3)` uint8.

    Example:

    >>> image = np.array([[[1, 2, 3, 200], [4, 5, 6, 0]]], np.uint8)
    >>> as_rgb(image, Bands(("blue", "green", "red", "nir"), (1, 2, 3, 4))).tolist()
    [[[3, 2, 1], [6, 5, 4]]]
    """
    if bands is None or bands.are_rgb:
        return image
    if bands.visible:
        return np.ascontiguousarray(image[..., bands.visible])
    shown = [_stretched(image[..., channel]) for channel in range(3 if bands.count >= 3 else 1)]
    return np.stack(shown * (1 if len(shown) == 3 else 3), axis=-1)


def _stretched(band: np.ndarray) -> np.ndarray:
    low, high = np.quantile(band, SHOWN_SHARES)
    if high <= low:
        return band
    return np.rint(np.clip((band - low) / (high - low), 0, 1) * 255).astype(np.uint8)
