"""Read whole images with labels, one by one or in batches, for evaluation and feature extraction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.batches.padding import pad_image, pad_map, padded_size
from usrn_keras.data.batches.prefetch import ByteBudget, ordered_map
from usrn_keras.data.dataset import Dataset, Sample
from usrn_keras.data.masks import read_sample

IGNORED = -1  # label of pixels without a class
WAITING_PIXELS = 2**25  # of images that wait for a full batch: a quarter of a gigabyte with labels


@dataclass(frozen=True, eq=False)
class WholeImage:
    """A sample with its image and labels in memory.

    Args:
        sample: Sample with the paths of the files.
        image: Image `(height, width, channels)` uint8.
        labels: Class ids `(height, width)` int32, -1 where ignored.
    """

    sample: Sample
    image: np.ndarray
    labels: np.ndarray

    @property
    def padded_size(self) -> tuple[int, int]:
        """Height and width after padding."""
        return padded_size(self.labels.shape)


def read_whole(
    samples: Iterable[Sample],
    dataset: Dataset,
    *,
    workers: int,
    ahead: int,
    budget: ByteBudget | None = None,
    cost: Callable[[Sample], int] = lambda sample: 0,
) -> Iterator[WholeImage]:
    """Read images and labels ahead with threads, in the order of `samples`.

    Args:
        samples: Samples with masks.
        dataset: Data set that defines the values of masks.
        workers: Number of threads.
        ahead: Largest number of images that are read ahead.
        budget, cost: Bytes of images in flight, and of one of them, as in `ordered_map`.

    Raises:
        DataError: An image or mask cannot be read or does not fit.
    """
    settings = {"workers": workers, "ahead": ahead, "budget": budget, "cost": cost}
    return ordered_map(lambda sample: _read(sample, dataset), samples, **settings)


def consecutive_batches(images: Iterable[WholeImage], batch: int) -> Iterator[list[WholeImage]]:
    """Group up to `batch` consecutive images of equal padded size."""
    group: list[WholeImage] = []
    for image in images:
        if group and (len(group) == batch or group[0].padded_size != image.padded_size):
            yield group
            group = []
        group.append(image)
    if group:
        yield group


def batches_by_size(
    images: Iterable[WholeImage], batch: int, waiting: int = WAITING_PIXELS
) -> Iterator[list[WholeImage]]:
    """Group `batch` images of equal padded size, consecutive or not. The last groups may be smaller.

    Args:
        images: Images in any order.
        batch: Number of images in a group.
        waiting: Largest number of pixels of incomplete groups in memory; above it, the largest group is
            yielded.
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
    """Read padded images `(b, h, w, channels)` uint8 and labels `(b, h, w)` int32 in batches.

    Consecutive images of equal padded size share a batch.

    Args:
        samples: Samples with masks.
        dataset: Data set that defines the values of masks.
        batch: Largest number of images in a batch.
        workers: Number of threads that read files.
    """
    read = read_whole(samples, dataset, workers=workers, ahead=2 * batch)
    for group in consecutive_batches(read, batch):
        images = np.stack([pad_image(item.image) for item in group])
        yield images, np.stack([pad_map(item.labels, fill=IGNORED) for item in group])


def mask_to_labels(mask: np.ndarray, dataset: Dataset) -> np.ndarray:
    """Convert a mask of `read_mask` to labels: class ids `(height, width)` int32, -1 where ignored."""
    labels = mask.astype(np.int32)
    labels[labels == dataset.ignore_index] = IGNORED
    return labels


def _read(sample: Sample, dataset: Dataset) -> WholeImage:
    image, mask = read_sample(sample, dataset)
    return WholeImage(sample, image, mask_to_labels(mask, dataset))
