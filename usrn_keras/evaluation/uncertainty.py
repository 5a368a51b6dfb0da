"""How uncertain models are about an image: the impurity of their mean prediction, weighted by class.

The variance of the indicator of class c at a pixel is p_c (1 - p_c) for the mean prediction p of all models.
By the law of total variance it is the mean variance of each model plus the variance between the models, so
one figure holds both the doubt of each model and their disagreement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from usrn_keras.data.channel_groups import by_channel_groups

LARGEST_WEIGHT = 10.0  # of a class, so that one that is hardly labelled does not decide alone
GRID = 3  # cells per side of the pooled features


@dataclass(frozen=True, eq=False)
class ImageUncertainty:
    """Uncertainty of an image.

    Args:
        score: Class-weighted impurity of the mean prediction, mean over all pixels, 0 or more.
        disagreement: Part of `score` that is variance between the models; 0 for one model.
        of_class: Part of each class in `score`, `(classes,)`; its sum is `score`.
        features: Pooled features, `(GRID * GRID * (classes + 2 * bands),)` float32.
    """

    score: float
    disagreement: float
    of_class: np.ndarray
    features: np.ndarray


def class_weights(pixels: np.ndarray) -> np.ndarray:
    """Weight of each class: the square root of its inverse share, mean share 1, at most `LARGEST_WEIGHT`.

    Args:
        pixels: Labelled pixels of each class, `(classes,)`.

    Example:

    >>> class_weights(np.array([900, 100])).round(2).tolist()
    [0.75, 2.24]
    """
    share = np.maximum(pixels / max(1, pixels.sum()), 1e-9)
    return np.minimum((1 / len(share) / share) ** 0.5, LARGEST_WEIGHT)


def impurity(predictions: Sequence[np.ndarray], weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class-weighted impurity of the mean prediction, and the part of it between the models.

    Args:
        predictions: Probabilities of each model, `(height, width, classes)` float32.
        weights: Weight of each class, `(classes,)`.

    Returns:
        Two arrays `(height, width, classes)`; their sums over the classes are maps of uncertainty.
    """
    mean = sum(predictions) / np.float32(len(predictions))
    total = mean * (1 - mean) * weights
    between = sum((one - mean) ** 2 for one in predictions) / np.float32(len(predictions)) * weights
    return total, between


def measure_uncertainty(
    image: np.ndarray, predictions: Sequence[np.ndarray], weights: np.ndarray
) -> ImageUncertainty:
    """Measure the uncertainty of models about an image.

    Args:
        image: `(height, width, bands)` uint8.
        predictions: Probabilities of each model, `(height, width, classes)` float32.
        weights: Weight of each class, `(classes,)`.

    Example:

    >>> certain, split = np.array([[[1, 0]]]), np.array([[[0.5, 0.5]]])
    >>> image = np.zeros((1, 1, 3), np.uint8)
    >>> [measure_uncertainty(image, [p], np.ones(2)).score for p in (certain, split)]
    [0.0, 0.5]
    """
    total, between = impurity(predictions, weights)
    of_class = total.mean(axis=(0, 1), dtype=np.float64)
    features = pooled_features(image, sum(predictions) / np.float32(len(predictions)))
    return ImageUncertainty(
        float(of_class.sum()), float(between.sum() / between[..., 0].size), of_class, features
    )


def pooled_features(image: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """What an image shows and looks like: predicted shares and colours in a grid of cells.

    Each cell has the square roots of the mean probabilities (distances are those of Hellinger), and mean and
    standard deviation of the bands.

    Args:
        image: `(height, width, bands)` uint8.
        mean: Mean probabilities, `(height, width, classes)`.

    Returns:
        `(GRID * GRID * (classes + 2 * bands),)` float32.
    """
    shares = np.stack([_cells(channel) for channel in np.moveaxis(mean, -1, 0)], axis=-1)
    colours = image.astype(np.float32) / 255
    means = by_channel_groups(_cells, colours)
    spread = np.sqrt(np.maximum(0, by_channel_groups(_cells, colours**2) - means**2))
    return np.concatenate([np.sqrt(np.maximum(0, shares)), means, spread], axis=-1).astype(np.float32).ravel()


def _cells(array: np.ndarray) -> np.ndarray:
    return cv2.resize(array.astype(np.float32), (GRID, GRID), interpolation=cv2.INTER_AREA)
