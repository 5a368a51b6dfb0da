"""Select the most confident pixels of each class exactly, from histograms of float16 confidences."""

from __future__ import annotations

import numpy as np

VALUES = int(np.float16(1.0).view(np.uint16)) + 1  # float16 values in 0..1, in the order of their bits
NOTHING = np.inf  # threshold of a class that keeps nothing


def count_confidences(labels: np.ndarray, confidence: np.ndarray, classes: int) -> np.ndarray:
    """Count the confidences of each class.

    A float16 in 0..1 is one of 15,361 values, and their bits as integers have their order. So the histogram
    of the bits loses nothing: ranks of millions of pixels follow from 120 kB for each class.

    Args:
        labels: Class ids, any shape; other values are not counted.
        confidence: Confidences in 0..1, float16, of the same shape.
        classes: Number of classes C.

    Returns:
        `(C, VALUES)` int64.

    Example:

    >>> counts = count_confidences(np.array([0, 0, 255]), np.float16([0.5, 1.0, 1.0]), classes=2)
    >>> counts.sum(axis=1).tolist(), int(counts[0, -1])
    ([2, 0], 1)
    """
    known = labels < classes
    bins = labels[known].astype(np.int64) * VALUES + np.ascontiguousarray(confidence[known]).view(np.uint16)
    return np.bincount(bins, minlength=classes * VALUES).reshape(classes, VALUES)


def thresholds(counts: np.ndarray, quotas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the threshold of each class, and the share that is sampled above it.

    The threshold t_j is the confidence of rank n_j, the quota, among the pixels predicted as class j, or the
    lowest one if there are fewer. Pixels may have equal confidences, so more than n_j may reach it: a random
    share `s_j = min(1, n_j / #{>= t_j})` of them is kept. A class with a quota of 0 or without a predicted
    pixel keeps nothing. (The official code of DARS raises an error for the latter.)

    Args:
        counts: Histograms of `count_confidences`, `(C, VALUES)`.
        quotas: Numbers of pixels to keep, `(C,)`.

    Returns:
        Thresholds `(C,)` float32, infinite where nothing is kept, and shares `(C,)` float64.

    Example:

    >>> labels, confidence = np.zeros(4, int), np.float16([0.5, 0.75, 0.75, 1.0])
    >>> t, s = thresholds(count_confidences(labels, confidence, 1), np.array([2]))
    >>> t.tolist(), s.round(3).tolist()
    ([0.75], [0.667])
    """
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]  # pixels of at least each confidence
    wanted = np.minimum(quotas, above[:, 0])
    places = np.maximum((above >= wanted[:, None]).sum(axis=1) - 1, 0)
    reached = above[np.arange(len(counts)), places]
    empty = wanted == 0
    found = places.astype(np.uint16).view(np.float16).astype(np.float32)
    shares = np.minimum(1.0, quotas / np.maximum(reached, 1))
    return np.where(empty, np.float32(NOTHING), found), np.where(empty, 0.0, shares)


def select(
    labels: np.ndarray,
    confidence: np.ndarray,
    thresholds: np.ndarray,
    shares: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Select the pixels of one image: those above the threshold of their class, less a random part.

    Of n pixels of class j above the threshold, `floor(n * (1 - s_j))` are dropped, as in the official code.

    Args:
        labels: Class ids `(height, width)`; pixels with other values are not selected.
        confidence: Confidences `(height, width)` float16.
        thresholds: Thresholds `(C,)`, see `thresholds`.
        shares: Shares s `(C,)` that are kept above the threshold.
        rng: Random generator of the drops.

    Returns:
        `(height, width)` bool.
    """
    table = np.append(thresholds, np.float32(NOTHING))  # the last entry is for pixels without a class
    classes = np.minimum(labels, len(thresholds))
    kept = (confidence >= table[classes]).ravel()
    flat = classes.ravel()
    for class_id in np.unique(flat[kept]):
        if shares[class_id] < 1:
            places = np.flatnonzero(kept & (flat == class_id))
            dropped = int(len(places) - len(places) * shares[class_id] + 1e-9)
            kept[rng.permutation(places)[:dropped]] = False
    return kept.reshape(labels.shape)
