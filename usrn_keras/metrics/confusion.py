"""The confusion matrix, from which every score is computed."""

from __future__ import annotations

import numpy as np

PIXELS_AT_ONCE = 2**22


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Count the pixels of each class by predicted class.

    A host thread takes 1 ms for 480x360 pixels, so the network never waits for it.

    Args:
        labels: Integers of any shape; pixels outside `0..classes - 1` are ignored.
        predictions: The same shape, integers in `0..classes - 1` wherever a pixel is not ignored.
        classes: Number of classes C.

    Returns:
        (C, C) int64; entry `[i, j]` counts the pixels of class i predicted as j. Matrices of several
        images are added.

    Example:

    >>> confusion_matrix(np.array([0, 1, 255]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 0]]
    """
    if labels.size > PIXELS_AT_ONCE:  # their int64 copies would take 16 bytes a pixel
        parts = -(-labels.size // PIXELS_AT_ONCE)
        pairs = zip(
            np.array_split(labels.ravel(), parts), np.array_split(predictions.ravel(), parts), strict=True
        )
        return sum(confusion_matrix(*pair, classes) for pair in pairs)
    counted = (labels >= 0) & (labels < classes)
    truth, guess = labels[counted].astype(np.int64), predictions[counted]
    if guess.size and not 0 <= guess.min() <= guess.max() < classes:
        raise ValueError(
            f"`predictions` must be in 0..{classes - 1}, received values from {guess.min()} to {guess.max()}"
        )
    return np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)
