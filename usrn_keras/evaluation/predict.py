"""Segmentation of images with a trained run: a palette PNG and an overlay for each, and its confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from usrn_keras.chunks import DaskPool
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import walk
from usrn_keras.data.left_out_files import LeftOut, find_unread
from usrn_keras.errors import DataError
from usrn_keras.evaluation.predict_in_chunks import predict_in_chunks
from usrn_keras.evaluation.prediction_jobs import Job, predict_jobs, rendering_of, run_predictor
from usrn_keras.progress import SILENT, Progress
from usrn_keras.runs import open_run

OVERLAYS, CONFIDENCE = "overlays", "confidence"  # folders in the output


def predict_files(
    run_dir: Path | str,
    inputs: Sequence[Path | str],
    out_dir: Path | str,
    *,
    confidence: bool = False,
    mode: str | None = None,
    max_side: int = 0,
    pool: DaskPool | None = None,
    progress: Progress = SILENT,
    wrote: Callable[[Path], None] = lambda path: None,
    left_out: Callable[[LeftOut], None] = lambda files: None,
) -> list[Path]:
    """Segment images with the model of a run, with the options of prediction of its recipe.

    Args:
        run_dir: Folder of a complete run.
        inputs: Image files and folders; folders are searched with their sub-folders.
        out_dir: Folder of the results, not inside a folder of `inputs`: `STEM.png` (class ids with the
            colours of the classes as palette; more than 256 classes as grey values of 16 bits) and
            `overlays/STEM.png` (the colours over the image). Images of a folder keep their sub-folder.
        confidence: Whether to write `confidence/STEM.png`, too: the probability of the predicted class as
            grey values, 255 is 1.
        mode: `whole` or `slide`, in place of that of the recipe; windows have the size of training crops.
        max_side: Longest side in pixels in which images are predicted: a larger image is reduced, and its
            classes are enlarged to the size of the image, the nearest for each pixel. 0 for no limit.
        pool: Worker processes that predict chunks of the images, with the same files as results; None: this
            process. Complete chunks of an interrupted call are skipped while their files are as written.
        progress: Progress bar, counts images.
        wrote: Called with the path of each file as soon as it is written.
        left_out: Called with the pictures in the folders whose format is not read, if there are any.

    Returns:
        The written files, two or three for each image, in the order of `inputs`.

    Raises:
        DataError: `out_dir` is inside an input folder, two images would write the same file, or an image
            would be overwritten (then nothing is written); or some inputs cannot be read (then all
            others are written, and the error lists them).
        RunError: The run is not complete.
        WeightsError: Its model cannot be loaded.
        OutOfMemoryError: An image needs more memory than there is, or memory ran out; the error names the
            image, and what needs less memory.

    Example:

    >>> predict_files("runs/quickstart", ["photo.jpg", "folder"], "predictions")  # doctest: +SKIP
    [PosixPath('predictions/photo.png'), PosixPath('predictions/overlays/photo.png'), ...]
    """
    errors = ErrorList()
    _validate_out(Path(out_dir), inputs)
    for files in find_unread([Path(path) for path in inputs if Path(path).is_dir()], without=[Path(out_dir)]):
        left_out(files)
    jobs = list(find_jobs([Path(path) for path in inputs], Path(out_dir), errors, confidence=confidence))
    _validate_targets(jobs)
    run = open_run(Path(run_dir))
    written: list[Path] = []
    reported, finished = 0, set()

    def report(job: Job) -> None:
        written.extend(job.targets)
        for path in job.targets:
            wrote(path)

    with progress.task("images", total=len(jobs)) as task:
        if pool is None:
            problems = predict_jobs(
                run_predictor(run, mode=mode),
                jobs,
                rendering_of(run, max_side=max_side),
                wrote=finished.add,
                computed=task.advance,
            )
        else:
            problems = predict_in_chunks(pool, run, jobs, mode=mode, max_side=max_side, computed=task.advance)
        try:
            for job, problem in zip(jobs, problems, strict=True):
                reported += 1
                if problem:
                    errors.add(problem)
                else:
                    report(job)
        finally:  # what threads wrote before an error or Ctrl-C
            problems.close()
            for job in jobs[reported:]:
                if job in finished:
                    report(job)
    errors.raise_if_any(
        "some inputs could not be segmented", hint=f"{len(written)} files were written to {out_dir}."
    )
    return written


def find_jobs(
    inputs: Sequence[Path], out_dir: Path, errors: ErrorList, *, confidence: bool = False
) -> Iterator[Job]:
    """Yield one job for each image among `inputs`; missing or empty inputs are added to `errors`."""
    for path in inputs:
        if path.is_dir():
            images = _images_below(path, errors)
            if not images:
                errors.add(f"{path} contains no images")
            for image in images:
                yield _job(image, out_dir, image.relative_to(path).parent, confidence)
        elif path.exists():
            yield _job(path, out_dir, Path(), confidence)
        else:
            errors.add(f"{path} does not exist")


def _images_below(folder: Path, errors: ErrorList) -> list[Path]:
    """Images in `folder` and its sub-folders."""
    return [
        Path(parent) / name
        for parent, _, names in walk(folder, errors.add)
        for name in names
        if Path(name).suffix.lower() in IMAGE_SUFFIXES
    ]


def _job(image: Path, out_dir: Path, folder: Path, confidence: bool) -> Job:
    name = folder / f"{image.stem}.png"
    return Job(
        image, out_dir / name, out_dir / OVERLAYS / name, out_dir / CONFIDENCE / name if confidence else None
    )


def _validate_out(out_dir: Path, inputs: Sequence[Path | str]) -> None:
    """Check that a later call, or `usrn init`, does not take the predictions for photographs."""
    target = out_dir.resolve()
    for path in map(Path, inputs):
        if path.is_dir() and path.resolve() in (target, *target.parents):
            raise DataError(
                f"--out {out_dir} is inside the input folder {path}",
                hint="Choose a folder outside it; otherwise the predictions would be taken for photographs.",
            )


def _validate_targets(jobs: Sequence[Job]) -> None:
    images = {job.image.resolve() for job in jobs}
    targets = Counter(path.resolve() for job in jobs for path in job.targets)
    errors = [f"{path} is one of the images and would be overwritten" for path in targets if path in images]
    errors += [f"{path} would be written {n} times" for path, n in targets.items() if n > 1]
    if errors:
        hint = "Choose another folder with --out, or predict these images in separate calls."
        raise DataError("the predictions would overwrite files", errors=errors, hint=hint)
