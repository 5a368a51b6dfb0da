"""Columns of a table of scores: models of runs and folders of masks, all checked before evaluation."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from usrn_keras.chunks import DaskPool
from usrn_keras.data import Dataset, Sample, load_dataset, read_sample_image
from usrn_keras.errors import USRNError
from usrn_keras.evaluation.evaluate import EvaluationResult, evaluate_with, samples_of
from usrn_keras.evaluation.evaluate_in_chunks import evaluate_in_chunks
from usrn_keras.evaluation.external_masks import PredictedMasks
from usrn_keras.evaluation.predictor import Predictor, inference_of
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe
from usrn_keras.report.comparison import validate_same_classes
from usrn_keras.runs import Run, open_run
from usrn_keras.runs.identity import changes, check_same_data

Made = TypeVar("Made")


class Entry(Protocol):
    """A column of the table; the constructor checks it before evaluation.

    Attributes:
        name: Heading of the column.
        stem: Part of the names of its files.
        report: Folder of its files; None if it has none of its own.
        dataset: Data set whose labels it is compared with.
        split: Name of the split: `val` or `test`.
    """

    name: str
    stem: str
    report: Path | None
    dataset: Dataset
    split: str

    def measure(self, progress: Progress) -> EvaluationResult:
        """Scores over all images of the split."""

    def predict(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Class ids `(height, width)` of some images."""


class RunEntry:
    """A model of a run. Arguments that are None are taken from `[evaluation]` of the run's recipe.

    Args:
        path: Folder of the run.
        model: Name of the model, one of `Run.models`; None: the last model.
        name: Heading of the column; None: the name of the model.
        checkpoint: Weights to use: `last` or `best`.
        split: Name of the split: `val` or `test`.
        inference: Fields of `Inference`.
        pool: Worker processes that measure the model; None: this process.
        log: Receives a line if the images or masks have changed since the training.

    Raises:
        RunError: The folder is not a run, has no such model, or its data set has other classes now.
        RecipeError: An option of prediction is not valid.
        DataError: The data set cannot be used, or the split has no images.
    """

    def __init__(
        self,
        path: Path,
        model: str | None,
        name: str | None,
        *,
        checkpoint: str | None = None,
        split: str | None = None,
        inference: Mapping[str, Any] | None = None,
        pool: DaskPool | None = None,
        log: Callable[[str], None] = lambda line: None,
    ):
        run = open_run(path)
        self._pool = pool
        self._recipe = run.recipe
        settings = run.recipe.evaluation
        model = model or run.models[-1]
        self.name = name or model
        self.split, checkpoint = split or settings.split, checkpoint or settings.checkpoint
        self._file = run.model_file(model, checkpoint)
        self._inference = inference_of(run.recipe, inference)
        self.dataset = load_dataset(run.recipe.data)
        _validate_data(run, self.dataset, log)
        self._samples = samples_of(self.dataset, self.split, path)
        self._checkpoint = run.checkpoint_name(model, checkpoint)
        self.stem = "_".join([model, self.split, *["best"] * (checkpoint == "best")])
        self.report = run.path / "report"

    def measure(self, progress: Progress, *, boundary: bool = True) -> EvaluationResult:
        settings = {
            "name": self.name,
            "workers": self._recipe.data.workers,
            "boundary": boundary,
            "checkpoint": self._checkpoint,
            "progress": progress,
        }
        if self._pool is None:
            return evaluate_with(self._predictor, self._samples, self.dataset, **settings)
        batch = self._recipe.evaluation.batch
        return evaluate_in_chunks(
            self._pool, self._file, self._samples, self.dataset,
            options=self._inference, batch=batch, **settings,
        )  # fmt: skip

    def predict(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        images = (read_sample_image(sample) for sample in samples)
        return [self._predictor.ids(image) for image in images]

    @cached_property
    def _predictor(self) -> Predictor:
        """The predictor of scores and of pictures, so that the network is loaded and compiled once."""
        batch = self._recipe.evaluation.batch
        return Predictor(load_segmenter(self._file), self._inference, batch=batch)


class MasksEntry:
    """A folder of predicted masks.

    Args:
        folder: Folder of the masks.
        dataset: Data set whose labels they are compared with.
        split: Name of the split: `val` or `test`.
        log: Receives a line on the names of the files.

    Raises:
        DataError: The masks do not belong to the images.
    """

    def __init__(self, folder: Path, dataset: Dataset, split: str, log: Callable[[str], None]):
        self.name, self.dataset, self.split, self.report = str(folder), dataset, split, None
        self.stem = f"{re.sub(r'[^0-9A-Za-z.-]+', '_', folder.name) or 'masks'}_{split}"
        self._masks = PredictedMasks(folder, dataset, split, log=log)
        self._measured: EvaluationResult | None = None

    def measure(self, progress: Progress) -> EvaluationResult:
        if self._measured is None:  # already counted by the check of the masks
            self._measured = self._masks.measure(self.name, progress=progress)
        return self._measured

    def predict(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        return [self._masks.ids(sample) for sample in samples]


def evaluate_run(
    run_dir: Path | str,
    *,
    split: str | None = None,
    model: str | None = None,
    checkpoint: str | None = None,
    inference: Mapping[str, Any] | None = None,
    boundary: bool = True,
    pool: DaskPool | None = None,
    progress: Progress = SILENT,
) -> EvaluationResult:
    """Scores of a model of a run. Arguments that are None are taken from `[evaluation]` of its recipe.

    Args:
        run_dir: Folder of the run.
        split: Name of the split: `val` or `test`.
        model: Name of the model, one of `Run.models`; None: the last model.
        checkpoint: Weights to use: `last` or `best`.
        inference: Fields of `Inference` that differ from the recipe, such as
            `{"mode": "slide", "flip": True}`; None as a value keeps the recipe's.
        boundary: Whether to compute the Boundary IoU.
        pool: Worker processes that measure the model, see `usrn_keras.chunks.open_pool`; None: this process.
        progress: Progress bar, counts images.

    Raises:
        RunError: The folder is not a run, the model is not trained yet, or its best weights were not kept.
        RecipeError: A field of `inference` is out of range.
        DataError: The split is empty or cannot be read.

    Example:

    >>> measured = evaluate_run("runs/camvid", split="test")  # doctest: +SKIP
    >>> measured.scores.miou, min(measured.images, key=lambda image: image.miou).sample.name  # doctest: +SKIP
    (0.61, 'test/0001TP_008850')
    """
    options = {"checkpoint": checkpoint, "split": split, "inference": inference, "pool": pool}
    options["log"] = progress.log
    return RunEntry(Path(run_dir), model, None, **options).measure(progress, boundary=boundary)


def prepare_entries(
    runs: Sequence[Path],
    predictions: Sequence[Path] = (),
    *,
    recipe: Recipe | None = None,
    models: Sequence[str | None] = (None,),
    checkpoints: Sequence[str | None] = (None,),
    split: str | None = None,
    inference: Mapping[str, Any] | None = None,
    pool: DaskPool | None = None,
    progress: Progress = SILENT,
) -> list[Entry]:
    """The columns of a table: each model of each run with each checkpoint, then the folders of masks.

    Args:
        runs: Run folders.
        predictions: Folders of predicted masks. Their data set is that of the first run.
        recipe: Recipe with the data set of `predictions`, if there is no run.
        models: Names of models; None: the last one of each run.
        checkpoints: `last`, `best`; None: the checkpoint of each run's recipe.
        split: `val` or `test`; None: the split of each run's recipe.
        inference: Fields of `Inference` for the runs.
        pool: Worker processes that measure the runs; None: this process.
        progress: Progress bar, counts masks and receives the lines of the log.

    Raises:
        USRNError: Some of them cannot be measured; the error lists all of them.
        RunError: Their classes differ.

    Example:

    >>> entries = prepare_entries([Path("runs/camvid")], [Path("others/val")])  # doctest: +SKIP
    >>> Comparison([entry.measure(SILENT).scores for entry in entries])  # doctest: +SKIP
    """
    errors: list[USRNError] = []
    entries: list[Entry] = []
    log = functools.cache(progress.log)  # log each line once, even if two models of a run cause it
    for path, model, checkpoint in product(runs, models, checkpoints):
        parts = [str(path), *[model] * (model is not None), *[checkpoint] * (len(checkpoints) > 1)]
        options = {"checkpoint": checkpoint, "split": split, "inference": inference}
        options |= {"pool": pool, "log": log}
        entries += _attempt(errors, RunEntry, path, model, " ".join(parts), **options)
    labels = _labels_of(entries, recipe, split)
    for folder in predictions if labels else ():
        entries += _attempt(errors, _measured_masks, folder, *labels, progress)
    _raise_all(errors)
    validate_same_classes([(entry.name, entry.dataset.classes) for entry in entries])
    return entries


def _labels_of(
    entries: Sequence[Entry], recipe: Recipe | None, split: str | None
) -> tuple[Dataset, str] | None:
    """Data set and split of predicted masks; None if the runs that define them cannot be measured."""
    if entries:
        return entries[0].dataset, entries[0].split
    return (load_dataset(recipe.data), split or recipe.evaluation.split) if recipe else None


def _measured_masks(folder: Path, dataset: Dataset, split: str, progress: Progress) -> MasksEntry:
    entry = MasksEntry(folder, dataset, split, progress.log)
    entry.measure(progress)  # reads every mask, so that all errors are found before evaluation
    return entry


def _validate_data(run: Run, dataset: Dataset, log: Callable[[str], None]) -> None:
    """Raise a `RunError` if the classes have changed since the training; log it if the images have."""
    if run.classes != tuple(dataset.classes):
        check_same_data(run.path, run.data, dataset)
    for change in changes(run.data, dataset):
        log(
            f"{run.path}: the data set has changed since the training, {change}; "
            "the evaluated images may include training images"
        )


def _attempt(errors: list[USRNError], make: Callable[..., Made], *args: Any, **options: Any) -> list[Made]:
    try:
        return [make(*args, **options)]
    except USRNError as error:
        errors.append(error)
        return []


def _raise_all(errors: Sequence[USRNError]) -> None:
    """Raise all errors as one of the class of the first; an error of several models is listed once."""
    different = list({str(error): error for error in errors}.values())
    if not different:
        return
    first = different[0]
    if len(different) == 1:
        raise first
    lines = ["\n      ".join([error.message, *error.errors]) for error in different]
    hints = " ".join(dict.fromkeys(error.hint for error in different if error.hint))
    message = "nothing was evaluated, because some of the runs or masks cannot be evaluated"
    raise type(first)(message, errors=lines, hint=hints) from first
