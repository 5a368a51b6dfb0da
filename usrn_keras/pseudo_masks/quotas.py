"""How many predicted pixels of each class are kept as pseudo labels."""

from __future__ import annotations

import numpy as np


def class_quotas(labelled: np.ndarray, ratio: float, pixels: int) -> np.ndarray:
    """Compute the quotas of DARS: each class gets its share of the labelled pixels.

        n_j = floor(ratio * N_j / sum N * pixels)

    Args:
        labelled: Number of labelled pixels of each class N, `(C,)`.
        ratio: Share of all unlabelled pixels that is kept, in 0..1.
        pixels: Number of pixels of all unlabelled images.

    Returns:
        `(C,)` int64.

    Raises:
        ValueError: No pixel is labelled.

    Example:

    >>> class_quotas(np.array([60, 30, 10]), ratio=0.5, pixels=200).tolist()
    [60, 30, 10]
    """
    return _whole(ratio * class_shares(labelled) * pixels)


def equal_quotas(subclasses: int, ratio: float, pixels: int) -> np.ndarray:
    """Compute the quotas of subclasses, which are equal in size: `floor(ratio * pixels / K)` for each.

    Args:
        subclasses: Number of subclasses K.
        ratio: Share of all unlabelled pixels that is kept, in 0..1.
        pixels: Number of pixels of all unlabelled images.

    Returns:
        `(K,)` int64.
    """
    return _whole(np.full(subclasses, ratio * pixels / subclasses))


def rate_quotas(labelled: np.ndarray, exponent: float, predicted: np.ndarray) -> np.ndarray:
    """Compute the quotas of CReST: the rarer a class is, the larger the share of its predicted pixels.

    Let N_1 >= ... >= N_L be the labelled pixels of the classes by frequency. Of the pixels predicted as the
    class of rank l, `floor((N_{L+1-l} / N_1)^exponent * predicted_l)` are kept: all of the rarest class.
    Classes without a labelled pixel have no rank and keep nothing. Unlike the official code, the classes need
    not be sorted by frequency.

    Args:
        labelled: Number of labelled pixels of each class, `(C,)`.
        exponent: Exponent of the ratio of frequencies, 1 / alpha in the paper; 0 keeps everything.
        predicted: Number of pixels predicted as each class, `(C,)`.

    Returns:
        `(C,)` int64.

    Example:

    >>> rate_quotas(np.array([10, 1000, 100]), exponent=1.0, predicted=np.array([7, 500, 50])).tolist()
    [7, 5, 5]
    """
    labelled = np.asarray(labelled, np.float64)
    order = np.argsort(-labelled, kind="stable")[: np.count_nonzero(labelled)]
    rates = np.zeros(len(labelled))
    if len(order):
        rates[order] = (labelled[order[::-1]] / labelled[order[0]]) ** exponent
    return _whole(rates * predicted)


def class_shares(labelled: np.ndarray) -> np.ndarray:
    """Compute the share of each class among the labelled pixels, `(C,)` float64.

    Args:
        labelled: Number of labelled pixels of each class, `(C,)`.

    Raises:
        ValueError: No pixel is labelled.
    """
    labelled = np.asarray(labelled, np.float64)
    if not labelled.sum() > 0:
        raise ValueError(f"`labelled` must count at least one pixel, received {labelled.tolist()}")
    return labelled / labelled.sum()


def _whole(numbers: np.ndarray) -> np.ndarray:
    """Round down; a product that is whole but for its last digits is whole."""
    return np.floor(numbers + 1e-9 * np.maximum(numbers, 1.0)).astype(np.int64)
