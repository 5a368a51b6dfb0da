"""The targets of GCT: flaws of predictions, and which network teaches the other one where."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from keras import ops

Tensor = Any

QUIET = 0.1  # largest flaw below which a map has none
TINY = 1e-9
TRUNCATE = 4.0  # of the Gaussian, in standard deviations, as in SciPy


def flaw_target(probabilities: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
    """Compute what the flaw detector should find in predictions, without gradient.

    `minmax(blur_4(dilate(blur_8(d))))`, with `d` half the absolute difference of probabilities and one-hot
    labels, summed over the classes: 1 minus the probability of the label, and 0.5 at a pixel without one.
    `dilate` is a maximum over 3 x 3 pixels, `blur_n` a Gaussian of 1/n of the size of the image, `minmax`
    scales each image to 0..1.

    Args:
        probabilities: Predictions `(batch, height, width, classes)`.
        labels: Labels `(batch, height, width)` int.
        valid: Pixels with a label, `(batch, height, width)` bool.

    Returns:
        `(batch, height, width)` float32 in 0..1.
    """
    labels = ops.where(valid, ops.cast(labels, "int32"), 0)[..., None]
    right = ops.take_along_axis(ops.stop_gradient(probabilities), labels, axis=-1)[..., 0]
    flaws = blur(ops.where(valid, 1.0 - right, 0.5), 8)
    flaws = ops.max_pool(flaws[..., None], 3, strides=1, padding="same")[..., 0]
    flaws = blur(flaws, 4)
    low, high = _range(flaws)
    return (flaws - low) / (high - low + TINY)


def handled_flaws(flaws: Tensor) -> Tensor:
    """Prepare detected flaws for `consistency_targets`, without gradient: blurred, each image from 0 to 1.

    As in the official code, an image whose blurred flaws are nowhere above 0.1 gets the value
    `-min / (max - min + 1e-9)` everywhere, where the paper has 0.

    Args:
        flaws: Output of the flaw detector, `(batch, height, width)`.

    Returns:
        `(batch, height, width)` float32.
    """
    flaws = blur(ops.relu(ops.stop_gradient(flaws)), 16)
    low, high = _range(flaws)
    flaws = ops.where(high > QUIET, flaws, 0.0)
    return (flaws - low) / (high - low + TINY)


def flawless(flaws: tuple[Tensor, Tensor], threshold: float) -> tuple[Tensor, Tensor]:
    """Compare the handled flaws of two networks pixel by pixel.

    A flaw above the threshold counts as 1.

    Args:
        flaws: Handled flaws of both networks, each `(batch, height, width)`.
        threshold: The threshold, in 0..1.

    Returns:
        Masks `(batch, height, width)` bool of the pixels where the flaw of each network is not larger than
        that of the other one.
    """
    one, two = (ops.where(some > threshold, 1.0, some) for some in flaws)
    return one <= two, two <= one


def blur(values: Tensor, divisor: int) -> Tensor:
    """Blur with a Gaussian of a size relative to the image, which is mirrored at its borders.

    The kernel has `size // divisor` taps along each side, one more if that is even.

    Args:
        values: Values `(batch, height, width)`.
        divisor: Ratio of the size of the image and of the kernel.

    Returns:
        Blurred values of the same shape.
    """
    rows, columns = (ops.convert_to_tensor(_blur_matrix(size, divisor)) for size in values.shape[1:3])
    return ops.matmul(ops.matmul(rows, values), ops.transpose(columns))


def blur_kernel(taps: int) -> np.ndarray:
    """Compute the kernel along one side: SciPy's Gaussian of an impulse, mirrored at the ends of the kernel.

    Args:
        taps: Number of taps, odd. The standard deviation is `0.3 ((taps - 1) / 2 - 1) + 0.8`.

    Returns:
        `(taps,)` float64 that sum to 1.
    """
    sigma = 0.3 * ((taps - 1) * 0.5 - 1) + 0.8
    reach = int(TRUNCATE * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    # Position of each tap after mirroring at the ends of the kernel, (d c b a | a b c d | d c b a).
    places = (np.arange(-reach, reach + 1) + taps // 2) % (2 * taps)
    places = np.where(places < taps, places, 2 * taps - 1 - places)
    return np.bincount(places, weights / weights.sum(), minlength=taps)


@cache
def _blur_matrix(size: int, divisor: int) -> np.ndarray:
    """The blur along a side as a matrix `(size, size)`; mirrored without repeating the border."""
    taps = size // divisor
    taps += 1 - taps % 2
    places = np.abs(np.arange(size)[:, None] + np.arange(taps) - taps // 2)
    places = np.where(places < size, places, 2 * (size - 1) - places)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], places), blur_kernel(taps))
    return matrix.astype("float32")


def _range(values: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of each image, `(batch, 1, 1)`."""
    return ops.min(values, axis=(1, 2), keepdims=True), ops.max(values, axis=(1, 2), keepdims=True)
