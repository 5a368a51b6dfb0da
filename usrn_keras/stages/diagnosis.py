"""Looking at the pseudo labels while USRN trains, and writing down what they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property

from usrn_keras.data import Dataset, Sample, image_size
from usrn_keras.data.batches.padding import padded_size
from usrn_keras.evaluation.diagnosis_log import DiagnosisLog
from usrn_keras.evaluation.pseudo_label_quality import PseudoLabelQuality, evenly_spaced
from usrn_keras.methods import USRN
from usrn_keras.recipe import Recipe
from usrn_keras.runs import USRN as USRN_STAGE
from usrn_keras.runs import Run

AUTO = -1
TIMES = 10  # an automatic diagnosis looks about so often
SHARE = 0.02  # of the training, and takes no more time than this share of it
FORWARD, TRAINING = 1, 3  # a forward pass, and one with its gradients, in forward passes
ONE_BY_ONE = 1.5  # what a pixel of a single image takes, in pixels of a batch


class DiagnosisWatch:
    """Writes `3-usrn/diagnosis.jsonl`: before the first step, every `evaluation.diagnosis` steps, at the end.

    The training loop writes its checkpoint before each look. So whenever the stage is killed, `resume` finds
    the weights that were being looked at, and the records end up the same.

    Args:
        run: The run folder.
        model: What is trained.
        dataset: Its unlabelled images are looked at, a few of them; without any there are no records.
        steps: Of the stage.
        log: Told of masks that cannot be read.

    Raises:
        DataError: An image cannot be read.
    """

    def __init__(self, run: Run, model: USRN, dataset: Dataset, steps: int, log: Callable[[str], None]):
        self._model, self._dataset, self._steps, self._tell = model, dataset, steps, log
        self._log = diagnosis_log(run)
        self._samples = evenly_spaced(dataset.unlabelled)
        self.every = diagnosis_period(run.recipe, self._samples, steps) if self._samples else 0

    def resume(self, step: int) -> None:
        """Bring the records to where training goes on from: `step`, its weights in place."""
        self._log.rewind(step if step else -1)  # what a training that is begun anew starts from may differ
        if self.due(step):
            self.measure(step)

    def due(self, step: int) -> bool:
        """Whether to look after this step."""
        return self.every > 0 and (step % self.every == 0 or step == self._steps)

    def measure(self, step: int) -> None:
        """Look at the weights of `step`, unless somebody did."""
        if not self._log.holds(step):
            self._log.append(self._diagnosis.record(step))

    @cached_property
    def _diagnosis(self) -> PseudoLabelQuality:
        """One for all looks, so that the network is compiled for them once."""
        return PseudoLabelQuality(self._model, self._samples, self._dataset, self._tell)


def diagnosis_log(run: Run) -> DiagnosisLog:
    """Where the records of a run are."""
    return DiagnosisLog(run.stage(USRN_STAGE) / "diagnosis.jsonl")


def diagnosis_period(recipe: Recipe, samples: Sequence[Sample], steps: int) -> int:
    """Steps between two looks: `evaluation.diagnosis`, or a tenth of all, or more where that takes too long.

    How long a look takes is reckoned in pixels, not by the clock: whoever resumes a run looks at the same
    steps.
    """
    if recipe.evaluation.diagnosis != AUTO:
        return recipe.evaluation.diagnosis
    return max(1, math.ceil(steps / TIMES), math.ceil(_steps_of_a_look(recipe, samples) / SHARE))


def _steps_of_a_look(recipe: Recipe, samples: Sequence[Sample]) -> float:
    training = recipe.training
    sizes = [padded_size(image_size(sample.image)) for sample in samples]
    look = ONE_BY_ONE * FORWARD * sum(height * width for height, width in sizes)
    passes = TRAINING * training.batch_labelled + (FORWARD + TRAINING) * training.batch_unlabelled
    return look / (passes * recipe.views.crop_size**2)
