"""Sublabel maps: the subclass of every labelled pixel, as lossless PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from usrn_keras.files import atomic_path
from usrn_keras.subclasses.features import FEATURE_STRIDE
from usrn_keras.subclasses.subclass_map import SubclassMap


def sublabel_map(
    mask: np.ndarray,
    clusters: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    subclasses: SubclassMap,
) -> np.ndarray:
    """Subclass of every pixel of an image; its parent is the pixel's label, always.

    The map of clusters is upsampled by nearest neighbour. Where its parent disagrees with the
    label at full resolution (borders, thin objects), the pixel takes the subclass of its own
    class whose centre is nearest to the feature at that place. (The official code keeps the
    disagreement.)

    Args:
        mask: `(height, width)` class ids; values outside the classes are ignored.
        clusters: `(ceil(height / 4), ceil(width / 4))` subclass ids, -1 where ignored.
        features: Gives the features `(n, channels)` at the flat indices `(n,)` of feature pixels; asked
            for those alone that hold a disagreement.
        subclasses: The subclasses.

    Returns:
        `(height, width)` int32, -1 where the label is ignored.
    """
    height, width = mask.shape
    rows, columns = np.arange(height) // FEATURE_STRIDE, np.arange(width) // FEATURE_STRIDE
    sublabels = clusters[np.ix_(rows, columns)].astype(np.int32)
    labelled = (mask >= 0) & (mask < len(subclasses.classes))
    parents = np.append(subclasses.parents, -1)  # index -1: ignored
    differs = labelled & (parents[sublabels] != mask)
    if differs.any():
        cells = (rows[:, None] * clusters.shape[1] + columns)[differs]
        sublabels[differs] = _nearest(cells, mask[differs], features, subclasses)
    sublabels[~labelled] = -1
    return sublabels


def cheapest_subclass(
    features: np.ndarray, class_id: int, subclasses: SubclassMap, *, priced: bool
) -> np.ndarray:
    """The subclass of a class that each feature belongs to, `(n,)` ids.

    That of least `|x - c|^2`, plus the price of the subclass where `priced`: then a feature that
    was not clustered joins the subclass that it would have had (`BalancedKMeans.predict`).

    Args:
        features: `(n, channels)`.
        class_id: The class; it has subclasses.
        subclasses: The subclasses.
        priced: Whether prices count.
    """
    own = subclasses.of_class(class_id)
    centers = subclasses.centers[own]
    origin = centers.mean(axis=0, dtype=np.float64).astype(np.float32)  # far from it, float32 would cancel
    centers, rows = ((x - origin).astype(np.float32) for x in (centers, features))
    costs = (centers**2).sum(axis=1) - 2 * rows @ centers.T
    if priced:
        costs = costs + subclasses.prices[own]
    return costs.argmin(axis=1) + own.start


def write_sublabels(path: Path, sublabels: np.ndarray, total: int) -> None:
    """Write a sublabel map atomically: 8 bits (255 is ignored), 16 bits (65535) above 254 subclasses."""
    dtype, ignored = (np.uint8, 255) if total <= 254 else (np.uint16, 65535)
    with atomic_path(path) as temporary:
        Image.fromarray(np.where(sublabels < 0, ignored, sublabels).astype(dtype)).save(temporary)


def _nearest(
    cells: np.ndarray,
    labels: np.ndarray,
    features: Callable[[np.ndarray], np.ndarray],
    subclasses: SubclassMap,
) -> np.ndarray:
    """The nearest subclass of class `labels[i]` to the feature of cell `cells[i]`."""
    result = np.empty(len(cells), np.int32)
    for class_id in np.unique(labels):
        chosen = labels == class_id
        unique, inverse = np.unique(cells[chosen], return_inverse=True)
        found = cheapest_subclass(features(unique), int(class_id), subclasses, priced=False)
        result[chosen] = found[inverse]
    return result
