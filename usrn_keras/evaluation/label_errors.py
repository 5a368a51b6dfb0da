"""Find possible label errors: labelled regions that the model of a run contradicts with confidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from usrn_keras.data import Sample, as_rgb, load_dataset, read_sample
from usrn_keras.data.dataset import Dataset
from usrn_keras.errors import RunError
from usrn_keras.evaluation.prediction_jobs import run_predictor
from usrn_keras.progress import SILENT, Progress
from usrn_keras.report.picture_sheets import rows_png
from usrn_keras.report.pictures import WORSE, coloured, faded
from usrn_keras.runs import open_run

CONFIDENCE = 0.9
LEAST_SHARE = 0.001  # of the image: smaller regions are mostly outlines
LEAST_PIXELS = 16
THICKNESS = 3  # pixels: thinner regions are differences along outlines
PARTS = ("labelled", "val", "test")
SHEET_ROWS = 30


@dataclass(frozen=True, eq=False)
class SuspiciousLabel:
    """An image whose label the model contradicts.

    Args:
        sample: Image and mask.
        part: Part of the data set: `labelled`, `val` or `test`.
        pixels: Number of contradicted pixels.
        share: Their share of the labelled pixels, 0..1.
        regions: Largest regions, at most 5, the largest first.
    """

    sample: Sample
    part: str
    pixels: int
    share: float
    regions: tuple[Region, ...]

    def line(self) -> str:
        """The image and its largest region in a line of text."""
        largest = self.regions[0]
        left, top, right, bottom = largest.box
        return (
            f"{self.sample.name} ({self.part}): {100 * self.share:.1f} % contradicted; labelled "
            f"{largest.label}, predicted {largest.predicted} at x {left} to {right}, y {top} to {bottom}"
        )

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        regions = [
            {"label": r.label, "predicted": r.predicted, "pixels": r.pixels, "box": list(r.box)}
            for r in self.regions
        ]
        return {
            "name": self.sample.name,
            "mask": str(self.sample.mask),
            "part": self.part,
            "pixels": self.pixels,
            "share": self.share,
            "regions": regions,
        }


@dataclass(frozen=True)
class Region:
    """A connected region of one label and one predicted class, with its box (left, top, right, bottom)."""

    label: str
    predicted: str
    pixels: int
    box: tuple[int, int, int, int]


def contradicted(labels: np.ndarray, probabilities: np.ndarray, confidence: float) -> np.ndarray:
    """Find regions of labelled pixels that the model gives to another class with confidence.

    Regions that are thinner than `THICKNESS` or smaller than `LEAST_SHARE` of the image are left out: along
    outlines, labels and predictions always differ by a few pixels.

    Args:
        labels: Class ids `(height, width)`; other values are pixels without a class.
        probabilities: `(height, width, classes)`.
        confidence: Least probability of the predicted class, 0.5..1.

    Returns:
        `(height, width)` bool.

    Example:

    >>> labels, probabilities = np.zeros((20, 20), np.uint8), np.full((20, 20, 2), (1.0, 0.0))
    >>> probabilities[5:12, 5:12] = 0.05, 0.95
    >>> int(contradicted(labels, probabilities, 0.9).sum())
    49
    """
    known = labels < probabilities.shape[-1]
    wrong = known & (probabilities.argmax(axis=-1) != labels) & (probabilities.max(axis=-1) >= confidence)
    kernel = np.ones((THICKNESS, THICKNESS), np.uint8)
    opened = cv2.morphologyEx(
        wrong.astype(np.uint8), cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    _, places, facts, _ = cv2.connectedComponentsWithStats(opened, connectivity=4)
    least = max(LEAST_PIXELS, LEAST_SHARE * labels.size)
    kept = facts[:, cv2.CC_STAT_AREA] >= least
    kept[0] = False  # the rest of the image
    return kept[places]


def find_label_errors(
    run_dir: Path | str, *, confidence: float = CONFIDENCE, progress: Progress = SILENT
) -> tuple[list[SuspiciousLabel], bytes]:
    """Compare the labels of the data set of a run with its predictions.

    A model learns its own labels, so errors in labelled images are found less often than in val and test
    images, and a model that is wrong with confidence contradicts right labels: look at the pictures.

    Args:
        run_dir: Folder of a complete run.
        confidence: Least probability of the predicted class, 0..1.
        progress: Progress display, which counts images.

    Returns:
        Images with contradicted regions, those with most pixels first; and a PNG file that shows them, empty
        if there is none.

    Raises:
        DataError: An image or mask cannot be read.
        RunError: The run is not complete, or its classes have changed.

    Example:

    >>> find_label_errors("runs/first")[0][0].line()   # doctest: +SKIP
    'street/0041 (labelled): 3.2 % contradicted; labelled road, predicted grass at x 12 to 80, y 2 to 60'
    """
    run = open_run(Path(run_dir))
    dataset = load_dataset(run.recipe.data)
    if dataset.classes != run.classes:
        raise RunError(f"the classes of the data set have changed since {run.path} was trained")
    predictor = run_predictor(run)
    found: list[tuple[SuspiciousLabel, list[np.ndarray], set[int]]] = []
    samples = [(part, sample) for part in PARTS for sample in getattr(dataset, part)]
    with progress.task("labels", total=len(samples)) as task:
        for part, sample in samples:
            image, labels = read_sample(sample, dataset)
            probabilities = predictor.probabilities(image)
            wrong = contradicted(labels, probabilities, confidence)
            if wrong.any():
                ids = probabilities.argmax(axis=-1)
                shot = as_rgb(image, sample.bands)
                entry = _describe(sample, part, labels, ids, wrong, dataset.classes)
                found.append((entry, _cells(shot, labels, ids, wrong, dataset), set(np.unique(ids).tolist())))
                found.sort(key=lambda one: -one[0].pixels)
                for _, cells, _ in found[SHEET_ROWS:]:
                    cells.clear()  # pictures of all images would fill the memory
            task.advance()
    return [entry for entry, _, _ in found], _sheet(found, dataset) if found else b""


def _describe(
    sample: Sample, part: str, labels: np.ndarray, ids: np.ndarray, wrong: np.ndarray, classes: Sequence[str]
) -> SuspiciousLabel:
    regions = sorted(_regions(labels, ids, wrong, classes), key=lambda region: -region.pixels)
    labelled = max(1, int((labels < len(classes)).sum()))
    return SuspiciousLabel(sample, part, int(wrong.sum()), float(wrong.sum() / labelled), tuple(regions[:5]))


def _regions(
    labels: np.ndarray, ids: np.ndarray, wrong: np.ndarray, classes: Sequence[str]
) -> Iterator[Region]:
    pairs = np.where(wrong, labels.astype(np.int64) * len(classes) + ids, -1)
    for pair in np.unique(pairs[wrong]).tolist():
        count, _, facts, _ = cv2.connectedComponentsWithStats(
            (pairs == pair).astype(np.uint8), connectivity=4
        )
        label, predicted = divmod(pair, len(classes))
        for left, top, width, height, pixels in facts[1:count].tolist():
            yield Region(
                classes[label], classes[predicted], pixels, (left, top, left + width - 1, top + height - 1)
            )


def _cells(
    image: np.ndarray, labels: np.ndarray, ids: np.ndarray, wrong: np.ndarray, dataset: Dataset
) -> list[np.ndarray]:
    shown = faded(image)
    shown[wrong] = WORSE
    return [image, coloured(labels, dataset.palette), coloured(ids, dataset.palette), shown]


def _sheet(found: Sequence[tuple[SuspiciousLabel, list[np.ndarray], set[int]]], dataset: Dataset) -> bytes:
    rows = [(entry.line(), cells) for entry, cells, _ in found[:SHEET_ROWS]]
    shown = {value for _, _, ids in found for value in ids}
    columns = ("image", "label", "prediction", "contradicted label (orange)")
    title = f"possible label errors: {len(found)} images, those with most pixels first"
    return rows_png(columns, rows, dataset.classes, dataset.palette, shown=shown, title=title)
