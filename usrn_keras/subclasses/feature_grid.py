"""The grid of decoder features of an image: the class of each feature pixel, and the selection for the store.

The store keeps the feature pixels that are clustered and those that sublabel maps need. `survey_masks` counts
both from the masks of the labelled images, before any feature is computed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset, Sample, read_mask
from usrn_keras.data.batches.padding import padded_size
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.progress import SILENT, Progress

if TYPE_CHECKING:
    import keras


FEATURE_STRIDE = 4
LARGEST = 65504.0  # largest float16


def feature_size(size: tuple[int, int]) -> tuple[int, int]:
    """Compute the height and width of the feature map of an image."""
    return -(-size[0] // FEATURE_STRIDE), -(-size[1] // FEATURE_STRIDE)


def feature_labels(mask: np.ndarray) -> np.ndarray:
    """Label every feature pixel with the mask pixel nearest to its centre.

    Args:
        mask: Class ids `(height, width)`.

    Returns:
        Class ids `(ceil(height / 4), ceil(width / 4))`.
    """
    rows, columns = (
        np.minimum(np.arange(count) * FEATURE_STRIDE + FEATURE_STRIDE // 2, size - 1)
        for count, size in zip(feature_size(mask.shape), mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def contains_label(mask: np.ndarray, classes: int) -> np.ndarray:
    """Whether any pixel under a feature pixel has a class.

    Args:
        mask: Class ids `(height, width)`; values outside 0 to `classes - 1` are ignored.
        classes: Number of classes.

    Returns:
        `(ceil(height / 4), ceil(width / 4))` bool.
    """
    labelled = (mask >= 0) & (mask < classes)
    for axis, size in enumerate(mask.shape):
        labelled = np.logical_or.reduceat(labelled, np.arange(0, size, FEATURE_STRIDE), axis=axis)
    return labelled


def half_precision(model: keras.Model) -> keras.Model:
    """Add a conversion of the features to float16 on the device.

    Features are clipped to the range of float16, 65504, because clustering needs finite values. NaN stays
    NaN.

    Args:
        model: Model from images to features.
    """
    from keras import Model, ops

    clipped = ops.clip(ops.cast(model.output, "float32"), -LARGEST, LARGEST)
    return Model(model.input, ops.cast(clipped, "float16"), name="half_precision_features")


def contains_nan(halves: np.ndarray) -> bool:
    """Whether a contiguous float16 array contains NaN; faster than `np.isnan`."""
    return bool(((halves.view(np.uint16) & 0x7FFF) > 0x7C00).any())


@dataclass(frozen=True, eq=False)
class Cells:
    """The feature pixels of one image that are stored.

    Attributes:
        labels: Class of each feature pixel, `(rows, columns)`; values outside the classes are ignored.
        kept: C + 1 arrays of flat indices into `labels`, ascending: the feature pixels of each class, then
            the ignored feature pixels that cover labelled pixels, which the sublabel map needs.
        complete: Whether all feature pixels with a class are kept. Otherwise the model runs again when the
            map is written, and no ignored feature pixel is kept.

    Example:

    >>> mask = np.full((8, 4), 255, np.uint8)
    >>> mask[:4], mask[4, 0] = 1, 0
    >>> [kept.tolist() for kept in choose_cells(mask, 2, name="street").kept]
    [[], [0], [1]]
    """

    labels: np.ndarray
    kept: tuple[np.ndarray, ...]
    complete: bool

    @property
    def counts(self) -> list[int]:
        """Number of kept feature pixels of each class, and of ignored ones."""
        return [len(indices) for indices in self.kept]


def choose_cells(mask: np.ndarray, classes: int, *, name: str, limit: int = 0, seed: int = 0) -> Cells:
    """Choose the feature pixels of an image to store.

    Args:
        mask: Class ids `(height, width)`; values outside 0 to `classes - 1` are ignored.
        classes: Number of classes.
        name: Name of the image, part of the seed.
        limit: Largest number of feature pixels of a class, drawn at random; 0 keeps all.
        seed: Seed of the draw.
    """
    labels = feature_labels(mask)
    by_class = [np.flatnonzero(labels == class_id) for class_id in range(classes)]
    complete = not limit or all(len(indices) <= limit for indices in by_class)
    if complete:
        ignored = (labels < 0) | (labels >= classes)
        return Cells(labels, (*by_class, np.flatnonzero(ignored & contains_label(mask, classes))), True)
    drawn = [_draw(indices, limit, [seed, _number(name), c]) for c, indices in enumerate(by_class)]
    return Cells(labels, (*drawn, np.zeros(0, np.int64)), False)


def _draw(indices: np.ndarray, limit: int, entropy: list[int]) -> np.ndarray:
    if len(indices) <= limit:
        return indices
    return np.sort(np.random.default_rng(entropy).choice(indices, limit, replace=False))


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")


@dataclass(frozen=True, eq=False)
class MaskSurvey:
    """Pixel counts of each image, in the order in which features are stored.

    Images of equal padded size are adjacent, so that they share batches.

    Attributes:
        samples: The N samples with masks.
        sizes: Height and width of each image in pixels.
        pixels: Number of labelled pixels of each class, `(N, C)` int64.
        rows: Number of kept feature pixels of each class, and of ignored ones, `(N, C + 1)` int64.
        complete: Whether all feature pixels with a class are kept, `(N,)` bool.
        digest: Hash of the names and masks.
    """

    samples: tuple[Sample, ...]
    sizes: tuple[tuple[int, int], ...]
    pixels: np.ndarray
    rows: np.ndarray
    complete: np.ndarray
    digest: str


def survey_masks(
    dataset: Dataset, *, limit: int, seed: int, workers: int = 2, progress: Progress = SILENT
) -> MaskSurvey:
    """Read every mask once and count its pixels. Only the counts are kept in memory.

    Args:
        dataset: Data set whose labelled images are counted.
        limit: Largest number of feature pixels of a class kept per image; 0 for all.
        seed: Seed of the selection of feature pixels.
        workers: Number of threads that read masks.
        progress: Progress, which counts masks.
    """
    classes = len(dataset.classes)

    def survey(sample: Sample) -> tuple:
        mask = read_mask(sample.mask, dataset)
        cells = choose_cells(mask, classes, name=sample.name, limit=limit, seed=seed)
        content = hashlib.sha256(f"{sample.name} {mask.dtype} {mask.shape}".encode())
        content.update(np.ascontiguousarray(mask))
        return mask.shape, class_pixels([mask], classes), cells.counts, cells.complete, content.digest()

    found = []
    with progress.task("reading masks", total=len(dataset.labelled)) as task:
        for facts in ordered_map(survey, dataset.labelled, workers=workers, ahead=2 * workers):
            found.append(facts)
            task.advance()
    order = sorted(range(len(found)), key=lambda index: padded_size(found[index][0]))  # stable
    sizes, pixels, rows, complete, digests = zip(*(found[index] for index in order), strict=True)
    return MaskSurvey(
        tuple(dataset.labelled[index] for index in order),
        sizes,
        np.array(pixels, np.int64),
        np.array(rows, np.int64),
        np.array(complete, bool),
        hashlib.sha256(b"".join(digests)).hexdigest(),
    )


def class_pixels(masks: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """Count the pixels of each class in all masks, `(classes,)` int64; other ids are not counted."""
    return sum(np.bincount(mask[mask < classes], minlength=classes) for mask in masks)
