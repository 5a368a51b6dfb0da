"""Write the predictions of a run for a labelling tool, to be corrected there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from usrn_keras.data.annotations.annotation_set import BACKGROUND, is_background
from usrn_keras.data.annotations.class_ids import IGNORE, MAX_CLASSES
from usrn_keras.data.annotations.image_matching import ImageFinder, check_targets, list_images
from usrn_keras.data.annotations.label_writers import EVERY_PIXEL, IGNORE_LABEL, WRITERS, written_palette
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.images import read_image
from usrn_keras.data.file_index import read_lines
from usrn_keras.errors import DataError, StorageError
from usrn_keras.evaluation.prediction_jobs import run_predictor
from usrn_keras.evaluation.predictor import Predictor
from usrn_keras.files import staged_path
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.runs import open_run

DOUBTFUL = ("ignore", "leave-out")
CLASSES = "classes.txt"
ZIP = ".zip"


@dataclass(frozen=True)
class LabelExport:
    """Result of an export.

    Args:
        out: Written folder or zip archive.
        format: Name of the format.
        images: Paths of the images below their folder.
        doubtful: Share of doubtful pixels, 0..1.
        unlabelled: What pixels of no shape are: the value of `--unlabelled` when the labels are imported.
        names: Class names by id.
    """

    out: Path
    format: str
    images: tuple[str, ...]
    doubtful: float
    unlabelled: str
    names: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the result as lines of text, with the command that reads corrected labels."""
        written = [
            f"written: {len(self.images)} images as {self.format} to {self.out}",
            f"doubtful pixels: {100 * self.doubtful:.1f} %",
        ]
        if self.format == "masks":  # they are what an import would draw
            folder = self.out.with_suffix("") if self.out.suffix == ZIP else self.out
            command = f"  usrn init PROJECT --images IMAGES --masks {quote(str(folder))} --names "
            return [*written, "correct them, then run:", command + quote(str(folder / CLASSES))]
        names = f" --names {quote(str(self.out / CLASSES))}" if self.out.suffix != ZIP else " --names CLASSES"
        return [
            *written,
            "correct them, then run:",
            f"  usrn labels import {quote(str(self.out))} --images IMAGES --out MASKS "
            f"--unlabelled {self.unlabelled}{names}",
        ]

    def to_json(self) -> dict[str, Any]:
        """Convert the result to JSON values."""
        return {
            "out": str(self.out),
            "format": self.format,
            "images": list(self.images),
            "doubtful": self.doubtful,
            "unlabelled": self.unlabelled,
            "classes": list(self.names),
        }


def export_labels(
    run_dir: Path | str,
    inputs: Sequence[Path | str],
    out: Path | str,
    format: str,
    *,
    only: Path | None = None,
    confidence: float = 0.5,
    doubtful: str = "ignore",
    progress: Progress = SILENT,
) -> LabelExport:
    """Segment images with the model of a run, and write the labels for a labelling tool.

    Masks, run lengths and bitmaps are exact: an import gives the predicted class of every pixel again.

    Args:
        run_dir: Folder of a complete run.
        inputs: Image files and folders of images.
        out: New folder, or zip archive if it ends in `.zip`.
        format: `labelme`, `coco`, `cvat`, `labelstudio` or `masks`.
        only: File that lists the images to write, one path or name per line; None for all.
        confidence: Pixels whose most probable class has a lower probability are doubtful, in 0..1.
        doubtful: `ignore` labels doubtful pixels `__ignore__`; `leave-out` writes no shape for them, and
            writes the background as shapes instead.
        progress: Progress display, which counts images.

    Raises:
        DataError: Images or the list cannot be read, or the format and options do not fit.
        RunError: The run is not complete.
        StorageError: `out` exists already or cannot be written.

    Example:

    >>> export_labels("runs/first", ["photos"], "to_correct", "labelme")   # doctest: +SKIP
    """
    out = Path(out)
    run = open_run(Path(run_dir))
    _check_options(format, doubtful, confidence, len(run.classes))
    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise StorageError(f"{out} exists already", hint="Choose a new folder with --out.")
    images = _find_images([Path(path) for path in inputs], only)
    names = tuple(BACKGROUND if is_background(name) else name for name in run.classes)
    labels, unlabelled = _written_labels(names, doubtful, format)
    predictor, data = run_predictor(run), run.recipe.data
    reading = {"value_range": data.value_range or None, "bands": parse_bands(data.bands)}
    count = total = 0
    with staged_path(out) as staging:
        folder = staging.with_name("labels") if out.suffix == ZIP else staging
        folder.mkdir()
        place = out.with_suffix("") if out.suffix == ZIP else out
        writer = WRITERS[format](folder, place, labels, written_palette(run.palette))
        with progress.task("images", total=len(images)) as task:
            for name, path in images.items():
                image = read_image(path, **reading)
                found, doubts = predicted_labels(predictor, image, confidence)
                writer.add(name, path, found)
                count, total = count + doubts, total + found.size
                task.advance()
        writer.finish()
        (folder / CLASSES).write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        if out.suffix == ZIP:
            shutil.make_archive(str(staging), "zip", folder)
            staging.with_name(f"{staging.name}.zip").rename(staging)
    return LabelExport(out, format, tuple(images), count / max(1, total), unlabelled, names)


def predicted_labels(predictor: Predictor, image: np.ndarray, confidence: float) -> tuple[np.ndarray, int]:
    """Class ids `(height, width)` uint8, 255 where a pixel is doubtful; and the number of doubtful pixels."""
    probabilities = predictor.probabilities(image)
    labels = probabilities.argmax(axis=-1).astype(np.uint8)
    doubts = probabilities.max(axis=-1) < confidence
    labels[doubts] = IGNORE
    return labels, int(doubts.sum())


def _check_options(format: str, doubtful: str, confidence: float, classes: int) -> None:
    errors = []
    if format not in WRITERS:
        errors.append(f"--format: must be one of {', '.join(WRITERS)}, received {format}")
    if doubtful not in DOUBTFUL:
        errors.append(f"--doubtful: must be {' or '.join(DOUBTFUL)}, received {doubtful}")
    if doubtful == "leave-out" and format in EVERY_PIXEL:
        errors.append(f"--doubtful leave-out: every pixel of the format {format} has a value; use ignore")
    if not 0 <= confidence <= 1:
        errors.append(f"--confidence: must be in 0..1, received {confidence}")
    if classes > MAX_CLASSES:
        errors.append(f"the run has {classes} classes; at most {MAX_CLASSES} can be written")
    if errors:
        raise DataError("the labels cannot be exported", errors=errors)


def _written_labels(names: Sequence[str], doubtful: str, format: str) -> tuple[dict[int, str], str]:
    """Labels that are written as shapes, by id; and what pixels of no shape are."""
    labels = dict(enumerate(names))
    if doubtful == "leave-out":
        return labels, "ignore"
    labels[IGNORE] = IGNORE_LABEL
    if BACKGROUND not in names:
        return labels, "ignore"
    if format not in EVERY_PIXEL:
        del labels[names.index(BACKGROUND)]
    return labels, BACKGROUND


def _find_images(inputs: Sequence[Path], only: Path | None) -> dict[str, Path]:
    """Images of files and folders by their path below the folder."""
    errors = ErrorList()
    found: dict[str, Path] = {}
    for path in inputs:
        if not path.exists():
            errors.add(f"{path} does not exist")
        images = list_images(path, errors) if path.is_dir() else {path.name: path} if path.exists() else {}
        if path.is_dir() and not images:
            errors.add(f"{path} contains no images")
        for name, file in images.items():
            if name in found:
                errors.add(
                    f"{found[name]} and {file} have the same name {name}: export them in separate calls"
                )
            found.setdefault(name, file)
    if only is not None and not errors.lines:
        found = _listed(found, only, errors)
    check_targets({name: name for name in found}, errors)
    errors.raise_if_any("the images cannot be exported")
    return found


def _listed(images: dict[str, Path], only: Path, errors: ErrorList) -> dict[str, Path]:
    finder, kept = ImageFinder(images), {}
    for number, line in enumerate(read_lines(only), 1):
        if not line or line.startswith("#"):
            continue
        fitting = finder.find([line])
        if len(fitting) != 1:
            problem = f"may be {' or '.join(fitting[:3])}" if fitting else "is none of the images"
            errors.add(f"--only {only}, line {number}: `{line}` {problem}")
        else:
            kept[fitting[0]] = images[fitting[0]]
    if not kept and not errors.lines:
        errors.add(f"--only {only} lists no image")
    return kept
