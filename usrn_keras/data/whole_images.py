"""Whole images with their labels, one by one or in batches: for evaluation and feature extraction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.dataset import Dataset, Sample
from usrn_keras.data.masks import read_sample
from usrn_keras.data.padding import pad_image, pad_map, padded_size
from usrn_keras.data.prefetch import ordered_map

IGNORED = -1  # label of pixels without a class
WAITING_PIXELS = 2**26  # of images that wait for others of their size: about half a gigabyte with labels


@dataclass(frozen=True, eq=False)
class WholeImage:
    """A sample that has been read.

    Args:
        sample: What it was read from.
        image: `(height, width, 3)` uint8 RGB.
        labels: `(height, width)` int32 class ids, -1 where ignored.
    """

    sample: Sample
    image: np.ndarray
    labels: np.ndarray

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width that networks take."""
        return padded_size(self.labels.shape)


def read_whole(
    samples: Iterable[Sample], dataset: Dataset, *, workers: int, ahead: int
) -> Iterator[WholeImage]:
    """Images and labels in the order of `samples`, read ahead by threads.

    Raises:
        DataError: An image or mask cannot be read or does not fit.
    """
    return ordered_map(lambda sample: _read(sample, dataset), samples, workers=workers, ahead=ahead)


def neighbours(images: Iterable[WholeImage], batch: int) -> Iterator[list[WholeImage]]:
    """Up to `batch` images that follow each other and are padded to the same size."""
    group: list[WholeImage] = []
    for image in images:
        if group and (len(group) == batch or group[0].padded_size != image.padded_size):
            yield group
            group = []
        group.append(image)
    if group:
        yield group


def gathered(
    images: Iterable[WholeImage], batch: int, waiting: int = WAITING_PIXELS
) -> Iterator[list[WholeImage]]:
    """`batch` images that are padded to the same size, not necessarily neighbours; fewer at the end.

    Args:
        images: In any order; each comes once.
        batch: Images in a group.
        waiting: Pixels that may wait for images of the same size; beyond it the largest group goes.
    """
    groups: dict[tuple[int, int], list[WholeImage]] = {}
    for image in images:
        group = groups.setdefault(image.padded_size, [])
        group.append(image)
        if len(group) == batch:
            yield groups.pop(image.padded_size)
        elif sum(height * width * len(group) for (height, width), group in groups.items()) > waiting:
            yield groups.pop(max(groups, key=lambda size: len(groups[size])))
    yield from groups.values()


def padded_batches(
    samples: Sequence[Sample], dataset: Dataset, batch: int, workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images `(b, h, w, 3)` uint8 and labels `(b, h, w)` int32; neighbours of equal size share a batch."""
    read = read_whole(samples, dataset, workers=workers, ahead=2 * batch)
    for group in neighbours(read, batch):
        images = np.stack([pad_image(item.image) for item in group])
        yield images, np.stack([pad_map(item.labels, fill=IGNORED) for item in group])


def labels_of(mask: np.ndarray, dataset: Dataset) -> np.ndarray:
    """A mask as `read_mask` gives it as labels: `(height, width)` int32 class ids, -1 where ignored."""
    labels = mask.astype(np.int32)
    labels[labels == dataset.ignore_index] = IGNORED
    return labels


def _read(sample: Sample, dataset: Dataset) -> WholeImage:
    image, mask = read_sample(sample, dataset)
    return WholeImage(sample, image, labels_of(mask, dataset))
