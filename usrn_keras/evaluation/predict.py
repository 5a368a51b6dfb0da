"""Segmentation of images with a trained run: a palette PNG and an overlay for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import walk
from usrn_keras.data.images import IMAGE_SUFFIXES, read_image
from usrn_keras.data.left_out_files import LeftOut, find_unread
from usrn_keras.errors import DataError
from usrn_keras.evaluation import Predictor, inference_of
from usrn_keras.files import atomic_path
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import SILENT, Progress
from usrn_keras.report.pictures import PALETTE_SIZE, overlay_png, palette_png
from usrn_keras.runs import Run, open_run


@dataclass(frozen=True)
class Job:
    """An image to segment and the two files to write."""

    image: Path
    labels: Path
    overlay: Path


def predict_files(
    run_dir: Path | str,
    inputs: Sequence[Path | str],
    out_dir: Path | str,
    *,
    progress: Progress = SILENT,
    wrote: Callable[[Path], None] = lambda path: None,
    left_out: Callable[[LeftOut], None] = lambda files: None,
) -> list[Path]:
    """Segment images with the model of a run, with the options of prediction of its recipe.

    Args:
        run_dir: Folder of a complete run.
        inputs: Image files and folders; folders are searched with their sub-folders.
        out_dir: Folder of the results: `STEM.png` (class ids with the colours of the classes as palette; more
            than 256 classes as grey values of 16 bits) and `STEM_overlay.png` (the colours over the image).
            Images of a folder keep their sub-folder.
        progress: Progress bar, counts images.
        wrote: Called with the path of each file as soon as it is written.
        left_out: Called with the pictures in the folders whose format is not read, if there are any.

    Returns:
        The written files, two for each image, in the order of `inputs`.

    Raises:
        DataError: Two images would write the same file, or an image would be overwritten (then nothing is
            written); or some inputs cannot be read (then all others are written, and the error lists them).
        RunError: The run is not complete.
        WeightsError: Its model cannot be loaded.

    Example:

    >>> predict_files("runs/quickstart", ["photo.jpg", "folder"], "predictions")  # doctest: +SKIP
    [PosixPath('predictions/photo.png'), PosixPath('predictions/photo_overlay.png'), ...]
    """
    errors = ErrorList()
    for files in find_unread([Path(path) for path in inputs if Path(path).is_dir()], without=[Path(out_dir)]):
        left_out(files)
    jobs = list(find_jobs([Path(path) for path in inputs], Path(out_dir), errors))
    _validate_targets(jobs)
    run = open_run(Path(run_dir))
    options = inference_of(run.recipe)
    # Images are predicted one by one: a larger batch would be filled up with blank images.
    batch = run.recipe.evaluation.batch if options.mode == "slide" else 1
    predictor = Predictor(load_segmenter(run.model_path), options, batch=batch)
    written: list[Path] = []
    with progress.task("images", total=len(jobs)) as task:
        for job in jobs:
            try:
                for path in _predict_file(predictor, job, run):
                    written.append(path)
                    wrote(path)
            except DataError as error:
                errors.add(error.message)
            task.advance()
    errors.raise_if_any(
        "some inputs could not be segmented", hint=f"{len(written)} files were written to {out_dir}."
    )
    return written


def find_jobs(inputs: Sequence[Path], out_dir: Path, errors: ErrorList) -> Iterator[Job]:
    """Yield one job for each image among `inputs`; missing or empty inputs are added to `errors`."""
    for path in inputs:
        if path.is_dir():
            images = _images_below(path, out_dir, errors)
            if not images:
                errors.add(f"{path} contains no images")
            for image in images:
                yield _job(image, out_dir / image.relative_to(path).parent)
        elif path.exists():
            yield _job(path, out_dir)
        else:
            errors.add(f"{path} does not exist")


def _images_below(folder: Path, out_dir: Path, errors: ErrorList) -> list[Path]:
    """Images in `folder` and its sub-folders, without the predictions of an earlier call."""
    out_dir = out_dir.resolve()
    found = []
    for parent, folders, names in walk(folder, errors.add):
        here = Path(parent)
        folders[:] = [name for name in folders if (here / name).resolve() != out_dir]
        found += [here / name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    return found


def _job(image: Path, folder: Path) -> Job:
    return Job(image, folder / f"{image.stem}.png", folder / f"{image.stem}_overlay.png")


def _validate_targets(jobs: Sequence[Job]) -> None:
    images = {job.image.resolve() for job in jobs}
    targets = Counter(path.resolve() for job in jobs for path in (job.labels, job.overlay))
    errors = [f"{path} is one of the images and would be overwritten" for path in targets if path in images]
    errors += [f"{path} would be written {n} times" for path, n in targets.items() if n > 1]
    if errors:
        hint = "Choose another folder with --out, or predict these images in separate calls."
        raise DataError("the predictions would overwrite files", errors=errors, hint=hint)


def _predict_file(predictor: Predictor, job: Job, run: Run) -> list[Path]:
    image = read_image(job.image, value_range=run.recipe.data.value_range or None)
    palette = run.palette
    labels = predictor.ids(image)
    _write(job.labels, _labels_png(labels, palette))
    _write(job.overlay, overlay_png(image, labels, palette))
    return [job.labels, job.overlay]


def _labels_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    if len(palette) <= PALETTE_SIZE:
        return palette_png(labels, palette)
    return cv2.imencode(".png", labels.astype(np.uint16))[1].tobytes()


def _write(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
