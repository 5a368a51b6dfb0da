"""Decoder features of the labelled images, on disk, and what class each of them belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data import Dataset, Sample, read_sample
from usrn_keras.data.padding import pad_to_stride
from usrn_keras.files import atomic_path
from usrn_keras.progress import SILENT, Progress

if TYPE_CHECKING:
    import keras

FEATURE_STRIDE = 4


def feature_file(folder: Path, sample: Sample) -> Path:
    """Where the features of a sample are kept."""
    return folder / f"{sample.name}.npy"


def extract_features(
    model: keras.Model,
    samples: Sequence[Sample],
    dataset: Dataset,
    folder: Path,
    *,
    progress: Progress = SILENT,
) -> None:
    """Write the decoder features of every sample, without augmentation, in evaluation mode.

    One float16 file `(ceil(height / 4), ceil(width / 4), channels)` per image, written
    atomically; files that exist are kept, so an interrupted extraction goes on.

    Args:
        model: Images `(1, height, width, 3)` to features at stride 4 (`Branch.feature_model`).
        samples: Images with masks.
        dataset: Says what the masks mean.
        folder: Where to write.
        progress: Counts images.
    """
    missing = [sample for sample in samples if not feature_file(folder, sample).exists()]
    with progress.task("features", total=len(samples), done=len(samples) - len(missing)) as task:
        for sample in missing:
            image, _ = read_sample(sample, dataset)
            rows, columns = feature_size(image.shape[:2])
            features = np.asarray(model.predict_on_batch(pad_to_stride(image)[None]))[0, :rows, :columns]
            with atomic_path(feature_file(folder, sample)) as temporary:
                np.save(temporary, _to_float16(features))
            task.advance()


def feature_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the feature map that covers an image."""
    return -(-size[0] // FEATURE_STRIDE), -(-size[1] // FEATURE_STRIDE)


def feature_labels(mask: np.ndarray) -> np.ndarray:
    """The label of every feature pixel: that of the label pixel nearest to its centre.

    Args:
        mask: `(height, width)` ids.

    Returns:
        `(ceil(height / 4), ceil(width / 4))` ids.
    """
    rows, columns = (
        np.minimum(np.arange(count) * FEATURE_STRIDE + FEATURE_STRIDE // 2, size - 1)
        for count, size in zip(feature_size(mask.shape), mask.shape, strict=True)
    )
    return mask[np.ix_(rows, columns)]


def gather_rows(
    samples: Sequence[Sample], labels: Sequence[np.ndarray], folder: Path, class_id: int, path: Path
) -> np.ndarray:
    """The features of one class in all images as rows of a memory-mapped file.

    Args:
        samples: Images.
        labels: Label map of each at feature size.
        folder: Where their features are.
        class_id: The class.
        path: File to write, `.npy`.

    Returns:
        `(rows, channels)` float16 memory map, in the order of images, then of pixels.
    """
    counts = [int((label == class_id).sum()) for label in labels]
    channels = np.load(feature_file(folder, samples[0]), mmap_mode="r").shape[-1]
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(sum(counts), channels))
    start = 0
    for sample, label, count in zip(samples, labels, counts, strict=True):
        if count:
            features = np.load(feature_file(folder, sample), mmap_mode="r")
            rows[start : start + count] = features[label == class_id]
            start += count
    return rows


def _to_float16(features: np.ndarray) -> np.ndarray:
    # A diverging network may exceed float16; the clustering needs finite rows.
    limit = np.finfo(np.float16).max
    return np.clip(features, -limit, limit).astype(np.float16)
