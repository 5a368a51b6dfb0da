"""A subclass classifier that knows the clusters from the first step on."""

from __future__ import annotations

import numpy as np


def centroid_classifier(centers: np.ndarray, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Linear classifier whose logits are `-|x - c_k|^2 / temperature`, up to what all classes share.

    Args:
        centers: `(K, channels)` float32.
        temperature: In squared feature units; smaller is surer.

    Returns:
        `kernel (channels, K)` and `bias (K,)`, float32.

    Example:

    >>> kernel, bias = centroid_classifier(np.array([[0.0], [2.0]], "float32"), 1.0)
    >>> (np.array([[1.5]]) @ kernel + bias).argmax()
    np.int64(1)
    """
    kernel = 2 * centers.T / temperature
    bias = -(centers**2).sum(axis=1) / temperature
    return kernel.astype(np.float32), bias.astype(np.float32)


def calibrated_temperature(features: np.ndarray, sublabels: np.ndarray, centers: np.ndarray) -> float:
    """The temperature with the least cross entropy on labelled feature pixels.

    Args:
        features: `(n, channels)` float32.
        sublabels: `(n,)` int.
        centers: `(K, channels)` float32.

    Returns:
        A value of a geometric grid around the mean squared distance to the own centre.
    """
    scores = 2 * features @ centers.T - (centers**2).sum(axis=1)
    own = scores[np.arange(len(features)), sublabels]
    spread = float(np.mean((features**2).sum(axis=1) - own)) + 1e-6
    grid = spread * np.geomspace(1e-3, 10, 33)
    return float(min(grid, key=lambda temperature: _cross_entropy(scores / temperature, sublabels)))


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]))
