"""What an evaluation leaves in a folder: the scores, the confusion matrix and the worst images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from usrn_keras.data import read_sample
from usrn_keras.data.batches.whole_images import labels_of
from usrn_keras.evaluation.entries import Entry
from usrn_keras.evaluation.evaluate import ImageScore, Measured
from usrn_keras.files import atomic_path
from usrn_keras.report import Comparison
from usrn_keras.report.confusion_chart import confusion_csv, confusion_png
from usrn_keras.report.picture_sheets import worst_png
from usrn_keras.report.pictures import PredictedImage

WORST = 6  # images in the gallery


def write_reports(measured: Sequence[tuple[Entry, Measured]], folder: Path | None = None) -> Iterator[Path]:
    """Write the files of each entry, and yield the path of each once it is written.

    `confusion_STEM.png`, `confusion_STEM.csv` and `worst_STEM.png` of each entry, `scores.json` of all
    in a folder.

    Args:
        measured: Entries and what they reached.
        folder: For all of them; None: each run's own, and no files of predicted masks.

    Raises:
        StorageError: A file cannot be written; those before it are complete.

    Example:

    >>> for path in write_reports([(entry, entry.measure(progress)) for entry in entries]):  # doctest: +SKIP
    ...     print(path)
    runs/camvid/report/scores.json
    ...
    """
    folders: dict[Path, list[tuple[Entry, Measured]]] = {}
    for entry, its in measured:
        if place := folder or entry.report:
            folders.setdefault(place, []).append((entry, its))
    for place, here in folders.items():
        comparison = Comparison([its.scores for _, its in here])
        yield _write(place / "scores.json", json.dumps(comparison.to_json(), indent=2) + "\n")
        for stem, (entry, its) in zip(_stems([entry for entry, _ in here]), here, strict=True):
            yield _write(place / f"confusion_{stem}.png", confusion_png(its.scores))
            yield _write(place / f"confusion_{stem}.csv", confusion_csv(its.scores))
            if worst := worst_images(its):
                yield _write(place / f"worst_{stem}.png", _gallery(entry, its, worst))


def worst_images(measured: Measured, count: int = WORST) -> list[ImageScore]:
    """The images with the lowest mIoU, the worst first; those without a label are left out."""
    labelled = [image for image in measured.images if not np.isnan(image.miou)]
    return sorted(labelled, key=lambda image: (image.miou, image.pixel_accuracy, image.sample.name))[:count]


def _gallery(entry: Entry, measured: Measured, worst: Sequence[ImageScore]) -> bytes:
    rows = []
    for image, ids in zip(worst, entry.predict([image.sample for image in worst]), strict=True):
        pixels, mask = read_sample(image.sample, entry.dataset)
        labels = labels_of(mask, entry.dataset)
        predictions = {measured.scores.name: ids}
        rows.append(PredictedImage(image.sample.name, pixels, labels, predictions, [image.miou]))
    scores = measured.scores
    images = f"The {len(rows)} worst of {len(measured.images)} images" if len(rows) > 1 else "The worst image"
    title = f"{images}: {scores.name}, mIoU over all {100 * scores.miou:.1f} %"
    return worst_png(
        rows, entry.dataset.classes, entry.dataset.palette, title=f"{title}\n{scores.provenance.line()}"
    )


def _stems(entries: Sequence[Entry]) -> list[str]:
    """A name for the files of each entry, with a number where several would have the same."""
    stems = [entry.stem for entry in entries]
    return [
        stem if stems.count(stem) == 1 else f"{stem}_{1 + stems[:i].count(stem)}"
        for i, stem in enumerate(stems)
    ]


def _write(path: Path, content: bytes | str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
