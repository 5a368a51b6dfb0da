"""Predicted labels and confidences of the unlabelled images on disk, one file for each image."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data import Sample, sample_size
from usrn_keras.errors import StorageError
from usrn_keras.files import atomic_path

BYTES = {"labels": 1, "confidence": 2, "sublabels": 2, "sub_confidence": 2}  # per pixel
SCORES = "scores"


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """The prediction of one image.

    Attributes:
        labels: Class ids `(height, width)` uint8, 255 where there is no label.
        confidence: Confidences `(height, width)` float16 in 0..1.
        sublabels: Subclass ids `(height, width)` uint16; None without F_sub.
        sub_confidence: Confidences of the subclasses `(height, width)` float16; None without F_sub.
    """

    labels: np.ndarray
    confidence: np.ndarray
    sublabels: np.ndarray | None = None
    sub_confidence: np.ndarray | None = None


def score_file(folder: Path, sample: Sample) -> Path:
    """Return the path of the scores of an image; it exists once they are complete."""
    return folder / SCORES / f"{sample.name}.npz"


def write_scores(path: Path, scored: ScoredImage) -> None:
    """Write the scores of an image, atomically and without compression, which would take most of the time."""
    arrays = {name: array for name in BYTES if (array := getattr(scored, name)) is not None}
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def read_scores(path: Path) -> ScoredImage:
    """Read what `write_scores` wrote."""
    with np.load(path) as file:
        return ScoredImage(**{name: file[name] for name in file.files})


def total_pixels(samples: Sequence[Sample]) -> int:
    """Count the pixels of all images by their headers."""
    return sum(height * width for height, width in (sample_size(sample) for sample in samples))


def check_score_space(folder: Path, pixels: int, stored: int, *, with_sub: bool) -> int:
    """Check the free disk space for the scores, which are deleted when the masks are complete.

    Args:
        folder: Folder of the stage.
        pixels: Number of pixels of all images.
        stored: Number of pixels whose scores are on disk already.
        with_sub: Whether there are sublabels.

    Returns:
        Size of all scores in bytes.

    Raises:
        StorageError: The free space is less than the missing scores need.
    """
    each = sum(BYTES[name] for name in BYTES if with_sub or "sub" not in name)
    missing = each * (pixels - stored)
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if missing > free:
        raise StorageError(
            f"labels and confidences of the unlabelled images need {missing / 1e9:.1f} GB in {folder}, "
            f"{free / 1e9:.1f} GB are free",
            hint="Free disk space, or use another folder: --run FOLDER. They are deleted when the pseudo "
            "masks are complete.",
        )
    return each * pixels
