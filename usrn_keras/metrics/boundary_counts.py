"""Boundary IoU: quality of the outlines of classes (Cheng et al., CVPR 2021, arXiv 2103.16562)."""

from __future__ import annotations

import cv2
import numpy as np

RATIO = 0.02  # width of a boundary region as a share of the image diagonal, as in the paper


def boundary_counts(
    labels: np.ndarray, predictions: np.ndarray, classes: int, ratio: float = RATIO
) -> np.ndarray:
    """Count intersection and union of the boundary regions of each class in one image.

    The boundary region of a class is the set of its pixels with a pixel of another class at most d rows and
    d columns away; d is `ratio` of the image diagonal, rounded, at least 1. Pixels beyond the border of the
    image count as another class, as in the official code (bowenc0221/boundary-iou-api). So do ignored pixels,
    in the label and in the prediction, so that a prediction that is correct on all other pixels scores 1.

    The sums over all images, intersection over union, are the Boundary IoU of each class.

    Args:
        labels: (height, width) integers; pixels outside `0..classes - 1` are ignored.
        predictions: (height, width) integers, class ids; others belong to no class.
        classes: Number of classes C.
        ratio: d as a share of the image diagonal.

    Returns:
        (C, 2) int64, intersection and union in pixels.

    Example:

    >>> labels = np.array([[0, 0, 0, 1, 1, 1]])
    >>> boundary_counts(labels, labels, 2).tolist()
    [[3, 3], [3, 3]]
    """
    dtype = np.uint8 if classes < 256 else np.uint16
    ignored = (labels < 0) | (labels >= classes)
    no_class = ignored | (predictions < 0) | (predictions >= classes)
    # 0: no class, as beyond the border. Ids that are no class may overflow, and are replaced.
    truth = np.where(ignored, dtype(0), labels.astype(dtype) + dtype(1))
    guess = np.where(no_class, dtype(0), predictions.astype(dtype) + dtype(1))
    distance = max(1, round(ratio * float(np.hypot(*labels.shape))))
    near_truth, near_guess = _near_others(truth, distance), _near_others(guess, distance)
    in_truth = np.bincount(truth[near_truth], minlength=classes + 1)
    in_guess = np.bincount(guess[near_guess], minlength=classes + 1)
    both = np.bincount(truth[near_truth & near_guess & (truth == guess)], minlength=classes + 1)
    return np.stack([both, in_truth + in_guess - both], axis=1)[1:]


def _near_others(ids: np.ndarray, distance: int) -> np.ndarray:
    """Whether a pixel of another id is at most `distance` rows and columns away, for all ids at once.

    It is if the smallest and the largest id around differ: two filters for any number of classes.
    """
    square = np.ones((2 * distance + 1,) * 2, np.uint8)
    border = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    return cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, square, **border) > 0
