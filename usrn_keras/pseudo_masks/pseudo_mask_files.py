"""Pseudo masks on disk: written from the scores of each image, read as the masks of training samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from usrn_keras.data import Sample
from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.files import atomic_path
from usrn_keras.pseudo_masks.score_files import read_scores, score_file
from usrn_keras.pseudo_masks.selection import select

MASKS, SUBLABELS = "masks", "sublabels"


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What is kept of each class, or of each subclass.

    Attributes:
        predicted: Number of pixels predicted as each class, `(C,)` int64.
        quotas: Number of pixels to keep, `(C,)` int64.
        confidence: Confidence that is reached by the kept pixels, `(C,)` float32; infinite for none.
        shares: Share of those pixels that is kept, `(C,)` float64.
    """

    predicted: np.ndarray
    quotas: np.ndarray
    confidence: np.ndarray
    shares: np.ndarray

    def kept(self, labels: np.ndarray, confidence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Select the kept pixels of an image, `(height, width)` bool; see `select`."""
        return select(labels, confidence, self.confidence, self.shares, rng)


def pseudo_samples(folder: Path, samples: Sequence[Sample], *, with_sub: bool = False) -> tuple[Sample, ...]:
    """Return the samples with the pseudo masks of a stage in place of their own masks.

    Args:
        folder: Folder of the stage.
        samples: Unlabelled samples.
        with_sub: Whether the stage has written sublabels too.
    """
    return tuple(
        replace(
            sample,
            mask=_file(folder, MASKS, sample),
            sublabels=_file(folder, SUBLABELS, sample) if with_sub else None,
        )
        for sample in samples
    )


def write_pseudo_masks(
    folder: Path,
    samples: Sequence[Sample],
    classes: Thresholds,
    subclasses: Thresholds | None = None,
    *,
    ignore_index: int,
    seed: int,
    workers: int = 2,
    done: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Write the pseudo mask of each image from its scores: 8-bit PNG files of class ids.

    The random drops of an image depend on the seed, the names of the stage's folder and of the image alone.

    Args:
        folder: Folder of the stage.
        samples: Unlabelled samples; all have scores.
        classes: What is kept of each class.
        subclasses: What is kept of each subclass; None without F_sub.
        ignore_index: Value of the pixels that are not kept, at most 255.
        seed: Seed of the random drops.
        workers: Number of threads.
        done: Called after each image.

    Returns:
        Number of kept pixels of each class `(C,)`, and of each subclass `(K,)` or None, int64.
    """

    def write(sample: Sample) -> tuple[np.ndarray, np.ndarray | None]:
        scored = read_scores(score_file(folder, sample))
        rng = np.random.default_rng([seed, _number(f"{folder.name}/{sample.name}")])
        kept = classes.kept(scored.labels, scored.confidence, rng)
        mask = np.where(kept, scored.labels, ignore_index).astype(np.uint8)
        _write_png(_file(folder, MASKS, sample), mask)
        counts = np.bincount(scored.labels[kept], minlength=len(classes.quotas))
        if subclasses is None:
            return counts, None
        kept = subclasses.kept(scored.sublabels, scored.sub_confidence, rng)
        eight_bits = len(subclasses.quotas) <= 254
        none = 255 if eight_bits else 65535
        sublabels = np.where(kept, scored.sublabels, none).astype(np.uint8 if eight_bits else np.uint16)
        _write_png(_file(folder, SUBLABELS, sample), sublabels)
        return counts, np.bincount(scored.sublabels[kept], minlength=len(subclasses.quotas))

    total = np.zeros(len(classes.quotas), np.int64)
    sub_total = None if subclasses is None else np.zeros(len(subclasses.quotas), np.int64)
    for counts, sub_counts in ordered_map(write, samples, workers=workers, ahead=2 * workers):
        total += counts
        if sub_total is not None:
            sub_total += sub_counts
        done()
    return total, sub_total


def _file(folder: Path, kind: str, sample: Sample) -> Path:
    return folder / kind / f"{sample.name}.png"


def _write_png(path: Path, values: np.ndarray) -> None:
    with atomic_path(path) as temporary:
        Image.fromarray(values).save(temporary)


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
