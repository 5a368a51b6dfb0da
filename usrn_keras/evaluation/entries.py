"""What can stand in a table of scores: models of runs, and masks of other tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from usrn_keras.data import Dataset, Sample, load_dataset, read_image
from usrn_keras.evaluation.evaluate import Measured, evaluate_with, samples_of
from usrn_keras.evaluation.external_masks import PredictedMasks
from usrn_keras.evaluation.predictor import Predictor, inference_of
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import Progress
from usrn_keras.runs import Run, open_run
from usrn_keras.runs.identity import changes, refuse_other_data


class Entry(Protocol):
    """One column of the table, checked as it is made, before anything is measured.

    Attributes:
        name: Its heading.
        stem: In the names of its files.
        report: The folder that its files go to; None where it has none of its own.
        dataset: Whose labels it is held against.
        split: `val` or `test`.
    """

    name: str
    stem: str
    report: Path | None
    dataset: Dataset
    split: str

    def measure(self, progress: Progress) -> Measured:
        """The scores over all images of the split."""

    def predict(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """`(height, width)` class ids of some images."""


class RunEntry:
    """A model of a run.

    Args:
        path: Folder of the run.
        model: `usrn` or `baseline`; None: its last one.
        name: Heading of its column; None: the model.
        checkpoint: `last` or `best`; None: as the run's recipe says. So are the others.
        split: `val` or `test`.
        inference: Fields of `Inference`.
        log: Told that its images or masks are not those of the training any more.

    Raises:
        RunError: The folder is no run, has no such model, or its data set has other classes now.
        RecipeError: The images cannot be predicted in this way.
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
        log: Callable[[str], None] = lambda line: None,
    ):
        run = open_run(path)
        self._recipe = run.recipe
        settings = run.recipe.evaluation
        model = model or run.models[-1]
        self.name = name or model
        self.split, checkpoint = split or settings.split, checkpoint or settings.checkpoint
        self._file = run.model_file(model, checkpoint)
        self._inference = inference_of(run.recipe, inference)
        self.dataset = load_dataset(run.recipe.data)
        _compare_data(run, self.dataset, log)
        self._samples = samples_of(self.dataset, self.split, path)
        self._checkpoint = run.checkpoint_name(model, checkpoint)
        self.stem = "_".join([model, self.split, *["best"] * (checkpoint == "best")])
        self.report = run.path / "report"

    def measure(self, progress: Progress, *, boundary: bool = True) -> Measured:
        return evaluate_with(
            self._predictor,
            self._samples,
            self.dataset,
            name=self.name,
            workers=self._recipe.data.workers,
            boundary=boundary,
            checkpoint=self._checkpoint,
            progress=progress,
        )

    def predict(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        return [self._predictor.ids(read_image(sample.image)) for sample in samples]

    @cached_property
    def _predictor(self) -> Predictor:
        """One for the scores and for the pictures, so that the network is loaded and compiled once."""
        batch = self._recipe.evaluation.batch
        return Predictor(load_segmenter(self._file), self._inference, batch=batch)


def _compare_data(run: Run, dataset: Dataset, log: Callable[[str], None]) -> None:
    """Other classes cannot be measured; other images can, if one knows."""
    if run.classes != tuple(dataset.classes):
        refuse_other_data(run.path, run.data, dataset)
    for change in changes(run.data, dataset):
        log(
            f"{run.path}: the data set has changed since the training, {change}; "
            "images that it learnt from may be among those that are measured"
        )


class MasksEntry:
    """A folder of predicted masks.

    Args:
        folder: Of the masks.
        dataset: Whose labels they are held against.
        split: `val` or `test`.
        log: Told what was assumed.

    Raises:
        DataError: The masks do not fit the images.
    """

    def __init__(self, folder: Path, dataset: Dataset, split: str, log: Callable[[str], None]):
        self.name, self.dataset, self.split, self.report = str(folder), dataset, split, None
        self.stem = f"{re.sub(r'[^0-9A-Za-z.-]+', '_', folder.name) or 'masks'}_{split}"
        self._masks = PredictedMasks(folder, dataset, split, log=log)
        self._measured: Measured | None = None

    def measure(self, progress: Progress) -> Measured:
        if self._measured is None:  # the check of the masks has counted them already
            self._measured = self._masks.measure(self.name, progress=progress)
        return self._measured

    def predict(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        return [self._masks.ids(sample) for sample in samples]
