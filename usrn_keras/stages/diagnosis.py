"""Measures the pseudo labels of a method while it trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

from usrn_keras.data import Dataset, Sample, sample_size
from usrn_keras.data.batches.padding import padded_size
from usrn_keras.evaluation.diagnosis_log import DiagnosisLog
from usrn_keras.evaluation.pseudo_label_quality import PseudoLabelQuality, evenly_spaced
from usrn_keras.methods import Method
from usrn_keras.recipe import Recipe
from usrn_keras.runs import Run

AUTO = -1
TIMES = 10  # number of automatic measurements
SHARE = 0.02  # largest share of the training time that automatic measurements take
FORWARD, TRAINING = 1, 3  # cost of a forward pass, and of one with its gradients, in forward passes
ONE_BY_ONE = 1.5  # cost of a pixel of a single image, in pixels of a batch


class DiagnosisCallback:
    """Writes `diagnosis.jsonl` before the first step, every `evaluation.diagnosis` steps, and at the end.

    The training loop writes its checkpoint before each measurement. So whenever the stage is killed, `resume`
    finds the weights that were being measured, and the records end up the same.

    Args:
        run: The run.
        folder: Folder of the stage.
        method: The method that is trained.
        dataset: Some of its unlabelled images are measured; without any there are no records.
        log: Receives a line for each mask that cannot be read.

    Raises:
        DataError: An image cannot be read.
    """

    def __init__(self, run: Run, folder: str, method: Method, dataset: Dataset, log: Callable[[str], None]):
        self._method, self._dataset, self._tell = method, dataset, log
        stage = run.training_stages[folder]
        self._begin, self._steps = stage.begin, stage.steps
        self._log = diagnosis_log(run, folder)
        self._samples = evenly_spaced(dataset.unlabelled)
        self.every = diagnosis_period(run.recipe, self._samples, stage.length) if self._samples else 0

    def resume(self, step: int) -> None:
        """Bring the records to the step that training resumes from, its weights in place."""
        self._log.rewind(
            step if step > self._begin else -1
        )  # a training that starts again may start from other weights
        if self.due(step):
            self.after_step(step)

    def due(self, step: int) -> bool:
        """Whether to measure after this step."""
        return self.every > 0 and (step % self.every == 0 or step in (self._begin, self._steps))

    def after_step(self, step: int) -> None:
        """Measure the weights of a step, unless there is a record of it."""
        if not self._log.holds(step):
            self._log.append(self._quality.record(step))

    @cached_property
    def _quality(self) -> PseudoLabelQuality:
        """One for all measurements, so that the network is compiled for them once."""
        return PseudoLabelQuality(self._method, self._samples, self._dataset, self._tell)


def diagnosis_log(run: Run, folder: str) -> DiagnosisLog:
    """The records of a stage."""
    return DiagnosisLog(run.stage(folder) / "diagnosis.jsonl")


def diagnosis_period(recipe: Recipe, samples: Sequence[Sample], steps: int) -> int:
    """Steps between two measurements: `evaluation.diagnosis`, or a tenth of all, or more if that takes long.

    The time of a measurement is estimated in pixels, not by the clock, so that a resumed run measures the
    same steps.
    """
    if recipe.evaluation.diagnosis != AUTO:
        return recipe.evaluation.diagnosis
    return max(1, math.ceil(steps / TIMES), math.ceil(_steps_of_a_measurement(recipe, samples) / SHARE))


def _steps_of_a_measurement(recipe: Recipe, samples: Sequence[Sample]) -> float:
    training = recipe.training
    sizes = [padded_size(sample_size(sample)) for sample in samples]
    measurement = ONE_BY_ONE * FORWARD * sum(height * width for height, width in sizes)
    passes = TRAINING * training.batch_labelled + (FORWARD + TRAINING) * training.batch_unlabelled
    return measurement / (passes * recipe.views.crop_size**2)
