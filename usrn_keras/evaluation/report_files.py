"""Files that an evaluation writes: scores, confusion matrices, galleries of the worst images."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from usrn_keras.data import Sample, as_rgb, read_sample
from usrn_keras.data.batches.whole_images import mask_to_labels
from usrn_keras.evaluation.entries import Entry
from usrn_keras.evaluation.evaluate import EvaluationResult, ImageScore
from usrn_keras.evaluation.pseudo_label_quality import evenly_spaced
from usrn_keras.files import atomic_path, damage_reported
from usrn_keras.printable import from_spreadsheet
from usrn_keras.report import Comparison
from usrn_keras.report.confusion_chart import confusion_csv, confusion_png
from usrn_keras.report.picture_sheets import comparison_png, worst_png
from usrn_keras.report.pictures import PredictedImage
from usrn_keras.report.text_tables import csv_text

WORST = 6  # images in the gallery
SIDE_BY_SIDE = 4  # images of a comparison
NOTE = "mIoU of each image alone, over the classes in its label: to find images, never to be averaged"
ImageMious = Mapping[str, float | None]  # by name of the image, in 0..1; None: its label has no class


def write_reports(
    measured: Sequence[tuple[Entry, EvaluationResult]], folder: Path | None = None
) -> Iterator[Path]:
    """Write the files of each entry, and yield the path of each as soon as it is written.

    Each entry gets `confusion_STEM.png`, `confusion_STEM.csv` and `worst_STEM.png`; all entries of a folder
    share `scores.json`. Two or more entries in one `folder` also get `comparison.png`, a few images with the
    predictions of all of them side by side.

    Args:
        measured: Entries and their scores.
        folder: Folder of all files; None: the report folder of each run, and no files for external masks.

    Raises:
        StorageError: A file cannot be written; those before it are complete.

    Example:

    >>> for path in write_reports([(entry, entry.measure(progress)) for entry in entries]):  # doctest: +SKIP
    ...     print(path)
    runs/camvid/report/scores.json
    ...
    """
    folders: dict[Path, list[tuple[Entry, EvaluationResult]]] = {}
    for entry, its in measured:
        if place := folder or entry.report:
            folders.setdefault(place, []).append((entry, its))
    for place, here in folders.items():
        comparison = Comparison([its.scores for _, its in here])
        yield _write(place / "scores.json", json.dumps(comparison.to_json(), indent=2) + "\n")
        for stem, (entry, its) in zip(_numbered([entry.stem for entry, _ in here]), here, strict=True):
            yield _write(place / f"confusion_{stem}.png", confusion_png(its.scores))
            yield _write(place / f"confusion_{stem}.csv", confusion_csv(its.scores))
            if worst := worst_images(its):
                yield _write(place / f"worst_{stem}.png", _gallery(entry, its, worst))
        if folder is not None and len(here) > 1 and (shown := _shared_samples(here)):
            yield _write(place / "comparison.png", _side_by_side(here, shown))


def image_mious(measured: EvaluationResult) -> dict[str, float | None]:
    """The mIoU of each image as a JSON value, None if its label has no class."""
    return {image.sample.name: None if math.isnan(image.miou) else image.miou for image in measured.images}


def write_image_scores(path: Path, models: Mapping[str, ImageMious]) -> None:
    """Write a CSV file with the columns `image, A, B, ...`: a row for each image with its mIoU by each model.

    Args:
        path: The CSV file.
        models: mIoU of the images by name of the model; an image that a model lacks has an empty cell.
    """
    names = list(dict.fromkeys(name for mious in models.values() for name in mious))
    rows = [[name, *(mious.get(name) for mious in models.values())] for name in names]
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text([["image", *models], *rows], [NOTE]), encoding="utf-8")


def read_image_scores(path: Path) -> dict[str, dict[str, float | None]]:
    """Read a file of `write_image_scores`: the mIoU of each image by each model, None for an empty cell.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "image_scores.csv"
    >>> write_image_scores(path, {"A": {"town/0": 0.25}, "B": {"town/0": 0.5, "town/1": None}})
    >>> read_image_scores(path)["B"]
    {'town/0': 0.5, 'town/1': None}
    """
    with damage_reported(path):
        text = path.read_text(encoding="utf-8").removesuffix(f"# {NOTE}\n")
        parsed = csv.reader(text.splitlines(keepends=True))
        (_, *models), *rows = ([from_spreadsheet(cell) for cell in row] for row in parsed)
        return {
            model: {name: float(cells[i]) if cells[i] else None for name, *cells in rows}
            for i, model in enumerate(models)
        }


def worst_images(measured: EvaluationResult, count: int = WORST) -> list[ImageScore]:
    """The images with the lowest mIoU, the worst first; images without a label are left out."""
    labelled = [image for image in measured.images if not math.isnan(image.miou)]
    return sorted(labelled, key=lambda image: (image.miou, image.pixel_accuracy, image.sample.name))[:count]


def _shared_samples(measured: Sequence[tuple[Entry, EvaluationResult]]) -> list[Sample]:
    """A few images that all entries were measured on, spread evenly over the list."""
    lists = [{image.sample.image: image.sample for image in its.images} for _, its in measured]
    shared = [sample for path, sample in lists[0].items() if all(path in other for other in lists[1:])]
    return list(evenly_spaced(shared, SIDE_BY_SIDE)) if shared else []


def _side_by_side(measured: Sequence[tuple[Entry, EvaluationResult]], samples: Sequence[Sample]) -> bytes:
    first, _ = measured[0]
    names = _numbered([its.scores.name for _, its in measured])
    predictions = {name: entry.predict(samples) for name, (entry, _) in zip(names, measured, strict=True)}
    mious = [{image.sample.image: image.miou for image in its.images} for _, its in measured]
    rows = []
    for number, sample in enumerate(samples):
        pixels, mask = read_sample(sample, first.dataset)
        known = [None if math.isnan(found[sample.image]) else found[sample.image] for found in mious]
        ids = {name: maps[number] for name, maps in predictions.items()}
        shot = as_rgb(pixels, sample.bands)
        rows.append(PredictedImage(sample.name, shot, mask_to_labels(mask, first.dataset), ids, known))
    return comparison_png(rows, first.dataset.classes, first.dataset.palette)


def _gallery(entry: Entry, measured: EvaluationResult, worst: Sequence[ImageScore]) -> bytes:
    rows = []
    for image, ids in zip(worst, entry.predict([image.sample for image in worst]), strict=True):
        pixels, mask = read_sample(image.sample, entry.dataset)
        labels = mask_to_labels(mask, entry.dataset)
        predictions = {measured.scores.name: ids}
        shot = as_rgb(pixels, image.sample.bands)
        rows.append(PredictedImage(image.sample.name, shot, labels, predictions, [image.miou]))
    scores = measured.scores
    images = f"The {len(rows)} worst of {len(measured.images)} images" if len(rows) > 1 else "The worst image"
    title = f"{images}: {scores.name}, mIoU over all {100 * scores.miou:.1f} %"
    return worst_png(
        rows, entry.dataset.classes, entry.dataset.palette, title=f"{title}\n{scores.provenance.line()}"
    )


def _numbered(names: Sequence[str]) -> list[str]:
    """The names, numbered if several are the same."""
    return [
        name if names.count(name) == 1 else f"{name}_{1 + names[:i].count(name)}"
        for i, name in enumerate(names)
    ]


def _write(path: Path, content: bytes | str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
