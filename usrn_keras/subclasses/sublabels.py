"""Sublabel maps: the subclass of every labelled pixel, as lossless PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from usrn_keras.files import atomic_path
from usrn_keras.subclasses.features import FEATURE_STRIDE
from usrn_keras.subclasses.subclass_map import SubclassMap


def sublabel_map(
    mask: np.ndarray, clusters: np.ndarray, features: np.ndarray, subclasses: SubclassMap
) -> np.ndarray:
    """Subclass of every pixel of an image; its parent is the pixel's label, always.

    The map of clusters is upsampled by nearest neighbour. Where its parent disagrees with the
    label at full resolution (borders, thin objects), the pixel takes the subclass of its own
    class whose centre is nearest to the feature at that place. (The official code keeps the
    disagreement.)

    Args:
        mask: `(height, width)` class ids; other values are ignored.
        clusters: `(ceil(height / 4), ceil(width / 4))` subclass ids, -1 where ignored.
        features: `(ceil(height / 4), ceil(width / 4), channels)` decoder features.
        subclasses: The subclasses.

    Returns:
        `(height, width)` int32, -1 where the label is ignored.
    """
    height, width = mask.shape
    rows, columns = np.arange(height) // FEATURE_STRIDE, np.arange(width) // FEATURE_STRIDE
    sublabels = clusters[np.ix_(rows, columns)].astype(np.int32)
    labelled = mask < len(subclasses.classes)
    parents = np.append(subclasses.parents, -1)  # index -1: ignored
    differs = labelled & (parents[sublabels] != mask)
    if differs.any():
        cells = (rows[:, None] * clusters.shape[1] + columns)[differs]
        sublabels[differs] = _nearest(cells, mask[differs], features, subclasses)
    sublabels[~labelled] = -1
    return sublabels


def _nearest(
    cells: np.ndarray, labels: np.ndarray, features: np.ndarray, subclasses: SubclassMap
) -> np.ndarray:
    """The nearest subclass of class `labels[i]` to the feature of cell `cells[i]`."""
    result = np.empty(len(cells), np.int32)
    rows = features.reshape(-1, features.shape[-1])
    for class_id in np.unique(labels):
        chosen = labels == class_id
        unique, inverse = np.unique(cells[chosen], return_inverse=True)
        centers = subclasses.centers[subclasses.of_class(class_id)]
        x = rows[unique].astype(np.float32)
        distances = (centers**2).sum(axis=1) - 2 * x @ centers.T
        result[chosen] = distances.argmin(axis=1)[inverse] + subclasses.first[class_id]
    return result


def write_sublabels(path: Path, sublabels: np.ndarray, total: int) -> None:
    """Write a sublabel map atomically: 8 bits (255 is ignored), 16 bits (65535) above 254 subclasses."""
    dtype, ignored = (np.uint8, 255) if total <= 254 else (np.uint16, 65535)
    with atomic_path(path) as temporary:
        Image.fromarray(np.where(sublabels < 0, ignored, sublabels).astype(dtype)).save(temporary)
