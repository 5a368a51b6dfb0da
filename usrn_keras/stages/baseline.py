"""Stage 1a: the Baseline, F trained on the labelled images alone."""

from __future__ import annotations

from usrn_keras.data import Dataset
from usrn_keras.data.batches.build import build_batches
from usrn_keras.methods import Supervised
from usrn_keras.progress import Progress
from usrn_keras.runs import BASELINE, Run
from usrn_keras.stages.models import supervised_model
from usrn_keras.stages.train import train
from usrn_keras.stages.weights import checkpoint_file
from usrn_keras.training import load_checkpoint


def train_baseline(run: Run, dataset: Dataset, progress: Progress) -> None:
    """Train the Baseline and write `1-baseline/model.keras`."""
    recipe = run.recipe
    model = supervised_model(recipe, dataset, pretrained=not checkpoint_file(run, BASELINE).exists())
    source = build_batches(recipe, dataset, unlabelled=False)
    train(run, BASELINE, model, source, recipe.training.baseline_steps, dataset, progress)


def trained_baseline(run: Run, dataset: Dataset) -> Supervised:
    """The Baseline of a run, restored from its checkpoint."""
    model = supervised_model(run.recipe, dataset, pretrained=False)
    load_checkpoint(checkpoint_file(run, BASELINE), model)
    return model
