"""Labels and confidences from probabilities, aligned with a class distribution or gated by F_sub."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

NO_LABEL = 255
ROWS = 64  # computed at once: F_sub has many channels
EPSILON = 1e-6


def aligned(probabilities: np.ndarray, prior: np.ndarray, mean: np.ndarray, temperature: float) -> np.ndarray:
    """Align the predicted class distribution with that of the labelled pixels (CReST).

        q = p * (prior^t / sum prior^t + 1e-6) / (mean + 1e-6), divided by its sum over the classes

    A temperature t of 1 gives classes the frequency that they have in the labelled images; a lower one
    favours rare classes.

    Args:
        probabilities: Class probabilities p, `(..., C)`.
        prior: Share of each class among the labelled pixels, `(C,)`.
        mean: Mean probabilities over all unlabelled pixels, `(C,)`.
        temperature: Exponent t of the shares.

    Returns:
        `(..., C)` that sum to 1.
    """
    target = prior**temperature
    ratios = (target / target.sum() + EPSILON) / (mean + EPSILON)
    found = probabilities * ratios.astype(probabilities.dtype)
    return found / found.sum(axis=-1, keepdims=True)


def most_likely(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the label and its confidence.

    Args:
        probabilities: Class probabilities `(height, width, C)`.

    Returns:
        Labels `(height, width)` int64, and confidences `(height, width)` float16.
    """
    return probabilities.argmax(axis=-1), probabilities.max(axis=-1).clip(0, 1).astype(np.float16)


def gated(
    probabilities: np.ndarray,
    sub_probabilities: np.ndarray,
    parents: Sequence[int] | np.ndarray,
    *,
    gate: str = "fallback",
    on_disagreement: str = "drop",
) -> tuple[np.ndarray, np.ndarray]:
    """Find the labels of F that F_sub corrects, as `HostMethod.teach` and `learn` do in training.

    q is `p * onehot(parents[argmax p_sub])` where the normalised entropy of F_sub is at most that of F, and p
    at the others. A pixel has the label argmax q and the confidence max q.

    Args:
        probabilities: Class probabilities of F, `(height, width, C)`.
        sub_probabilities: Subclass probabilities of F_sub, `(height, width, K)`.
        parents: Class of each subclass, `(K,)`.
        gate: Where the gate is closed: `fallback` keeps the label of F, `stop` gives none; `off` opens it at
            all pixels.
        on_disagreement: Where q and p have different labels: `drop` gives none, `override` that of q.

    Returns:
        Labels `(height, width)` int64, 255 for none, and confidences `(height, width)` float16.
    """
    parents = np.asarray(parents)
    labels = np.empty(probabilities.shape[:2], np.int64)
    confidence = np.empty(labels.shape, np.float16)
    for begin in range(0, len(labels), ROWS):
        rows = slice(begin, begin + ROWS)
        p, p_sub = probabilities[rows], sub_probabilities[rows]
        own, own_confidence = most_likely(p)
        corrected = parents[p_sub.argmax(axis=-1)]
        is_open = _entropy(p_sub) <= _entropy(p) if gate != "off" else np.ones(own.shape, bool)
        found = np.where(is_open, corrected, own)
        of_corrected = np.take_along_axis(p, corrected[..., None], axis=-1)[..., 0].astype(np.float16)
        none = ~is_open if gate == "stop" else np.zeros(own.shape, bool)
        if on_disagreement == "drop":
            none = none | (found != own)
        labels[rows] = np.where(none, NO_LABEL, found)
        confidence[rows] = np.where(is_open, of_corrected, own_confidence)
    return labels, confidence


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy divided by its maximum; 0 for a single channel."""
    channels = probabilities.shape[-1]
    if channels == 1:
        return np.zeros(probabilities.shape[:-1])
    logarithms = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return -(probabilities * logarithms).sum(axis=-1) / np.log(channels)
