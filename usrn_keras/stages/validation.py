"""Evaluates on val while a stage trains, and keeps the weights that were best there."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.errors import DataError
from usrn_keras.evaluation import Predictor, evaluate_with
from usrn_keras.evaluation.predictor import inference_of
from usrn_keras.files import write_json
from usrn_keras.networks import Branch
from usrn_keras.runs import Run
from usrn_keras.stages.stage_files import save_segmenter


class ValidationCallback:
    """Evaluates F after every `evaluation.every` steps and at the end; the best weights are `best.keras`.

    `best.json` beside it is the record: `step` and `val_miou` of the best weights, `measured`, the last
    step that was compared, and `saved`, whether `best.keras` holds those weights yet. The training loop
    writes its checkpoint before each evaluation. So whenever a stage is killed, the weights that were
    being evaluated or saved are those that training resumes from, and `resume` does what is left.

    Args:
        run: The run.
        folder: Folder of the training stage.
        branch: F of the method that is trained.
        dataset: Holds the val images.

    Raises:
        DataError: There are no val images.
    """

    def __init__(self, run: Run, folder: str, branch: Branch, dataset: Dataset):
        self.every = run.recipe.evaluation.every
        if self.every and not dataset.val:
            raise DataError(
                f"the data set {dataset.name} has no val images",
                hint=f"Set evaluation.every = 0 (it is {self.every}), or add val images.",
            )
        self._run, self._stage, self._branch, self._dataset = run, folder, branch, dataset
        stage = run.training_stages[folder]
        self._begin, self._steps = stage.begin, stage.steps
        self._log = run.log(folder)
        self._model = stage.name
        self._weights = run.model_folder(stage.name) / "best.keras"
        self._file = self._weights.with_suffix(".json")

    def resume(self, step: int) -> None:
        """Bring the best weights and the log to the step that training resumes from, its weights in place."""
        self._log.rewind(step)
        if self._best().get("measured", 0) > step:  # of a training that starts again
            self._weights.unlink(missing_ok=True)
            self._file.unlink()
        self._save()
        if step > self._begin and self.due(step):
            self.after_step(step)

    def due(self, step: int) -> bool:
        """Whether to evaluate after this step; the end of training counts, too."""
        return self.every > 0 and (step % self.every == 0 or step == self._steps)

    def after_step(self, step: int) -> None:
        """Evaluate the weights of a step, unless they were, and keep them if they are the best so far."""
        best = self._best()
        if best.get("measured") == step:
            return
        miou = self._val_miou(step)
        if miou > best.get("val_miou", -1.0):
            best = {"step": step, "val_miou": miou, "saved": False}
        write_json(self._file, best | {"measured": step})
        self._save()

    def _save(self) -> None:
        best = self._best()
        if best and not best["saved"]:
            save_segmenter(self._branch, self._weights)
            write_json(self._file, best | {"saved": True})

    def _val_miou(self, step: int) -> float:
        samples, workers = self._dataset.val, self._run.recipe.data.workers
        scores = evaluate_with(
            self._predictor, samples, self._dataset, name=self._stage, workers=workers, boundary=False
        ).scores
        miou = _number(scores.miou)
        if not self._log.holds(step, "val_miou"):  # killed after the record: it is there already
            self._log.record({"step": step, "val_miou": miou, "val_rare_miou": _number(scores.rare_miou)})
        return miou

    @cached_property
    def _predictor(self) -> Predictor:
        """One for all evaluations, so that the network is compiled for them once."""
        recipe = self._run.recipe
        return Predictor(self._branch.segmenter(), inference_of(recipe), batch=recipe.evaluation.batch)

    def _best(self) -> dict[str, Any]:
        return self._run.best_record(self._model) if self._file.exists() else {}


def _number(value: float) -> float:
    return float(np.nan_to_num(value))
