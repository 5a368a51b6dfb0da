"""Running the training loop of a stage inside a run folder."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from usrn_keras.data import Batches, Dataset
from usrn_keras.evaluation import evaluate
from usrn_keras.files import atomic_path
from usrn_keras.methods import USRN, Supervised
from usrn_keras.networks import Branch
from usrn_keras.progress import Progress
from usrn_keras.runs import Run
from usrn_keras.training import Loop


def train(
    run: Run,
    stage: str,
    model: Supervised | USRN,
    source: Batches,
    steps: int,
    dataset: Dataset,
    progress: Progress,
) -> None:
    """Train `model` from the stage's checkpoint, if any, to the end."""
    log, training, every = run.log(stage), run.recipe.training, run.recipe.evaluation.every

    def measure(step: int) -> None:
        if step < steps:  # the last step is measured by the evaluation that follows
            scores = evaluate(
                model.branch.segmenter(), dataset.val, dataset, name=stage, workers=run.recipe.data.workers
            )
            log.record(
                {"step": step, "val_miou": _number(scores.miou), "val_rare_miou": _number(scores.rare_miou)}
            )

    Loop(
        model=model,
        batches=source,
        steps=steps,
        checkpoint=checkpoint_file(run, stage),
        checkpoint_seconds=training.checkpoint_seconds,
        log_every=training.log_every,
        record=log.record,
        rewind=log.rewind,
        every=measure,
        every_steps=every,
        progress=progress,
        description=stage,
    ).run()


def checkpoint_file(run: Run, stage: str) -> Path:
    """The checkpoint of a training stage."""
    return run.stage(stage) / "checkpoint.npz"


def save_segmenter(branch: Branch, path: Path) -> None:
    """Write F alone as a `.keras` file, atomically."""
    with atomic_path(path) as temporary:
        keras.saving.save_model(branch.segmenter(), temporary)


def _number(value: float) -> float:
    return float(np.nan_to_num(value))
