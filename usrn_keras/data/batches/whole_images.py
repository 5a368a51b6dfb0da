"""Whole images in batches, padded to the stride of the network: for evaluation and feature extraction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from usrn_keras.data.batches.padding import pad_map_to_stride, pad_to_stride
from usrn_keras.data.files.masks import read_sample
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.data.sample import Dataset, Sample


def padded_batches(
    samples: Sequence[Sample], dataset: Dataset, batch: int, workers: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images `(b, h, w, 3)` uint8 and labels `(b, h, w)` int32; neighbours of equal size share a batch."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    read = ordered_map(
        lambda sample: _read_padded(sample, dataset), samples, workers=workers, ahead=2 * batch
    )
    for image, label in read:
        if images and (len(images) == batch or images[0].shape != image.shape):
            yield np.stack(images), np.stack(labels)
            images, labels = [], []
        images.append(image)
        labels.append(label)
    if images:
        yield np.stack(images), np.stack(labels)


def _read_padded(sample: Sample, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    image, mask = read_sample(sample, dataset)
    labels = mask.astype(np.int32)
    labels[labels == dataset.ignore_index] = -1
    return pad_to_stride(image), pad_map_to_stride(labels, fill=-1)
