"""Stage 2: USRN on labelled and unlabelled images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.build import build_batches
from usrn_keras.methods import USRN, Supervised
from usrn_keras.progress import Progress
from usrn_keras.runs import SUBCLASSES, Run
from usrn_keras.runs import USRN as USRN_STAGE
from usrn_keras.stages.baseline import trained_baseline
from usrn_keras.stages.models import copy_baseline, set_sub_classifier, usrn_model
from usrn_keras.stages.train import train
from usrn_keras.stages.weights import checkpoint_file
from usrn_keras.subclasses import SubclassMap, sublabel_file
from usrn_keras.subclasses.head import calibrated_temperature, centroid_classifier


def train_usrn(run: Run, dataset: Dataset, progress: Progress) -> None:
    """Train USRN and write `model.keras`, F alone."""
    recipe, folder = run.recipe, run.stage(SUBCLASSES)
    subclasses = SubclassMap.load(folder)
    labelled = tuple(replace(sample, sublabels=sublabel_file(folder, sample)) for sample in dataset.labelled)
    resumes = checkpoint_file(run, USRN_STAGE).exists()
    from_baseline = recipe.training.start == "baseline"
    model = usrn_model(recipe, dataset, subclasses, pretrained=not resumes and not from_baseline)
    if from_baseline and not resumes:
        _start_from_baseline(run, model, labelled, dataset, subclasses)
    source = build_batches(
        recipe, dataset, labelled, unlabelled=model.sees_unlabelled, parents=subclasses.parents
    )
    train(run, USRN_STAGE, model, source, recipe.training.usrn_steps, dataset, progress)


def _start_from_baseline(
    run: Run, model: USRN, labelled: tuple[Sample, ...], dataset: Dataset, subclasses: SubclassMap
) -> None:
    baseline = trained_baseline(run, dataset)
    copy_baseline(baseline, model)
    if run.recipe.network.sub_head != "random":
        features, sublabels = _some_features(run, baseline, labelled, dataset, subclasses)
        temperature = calibrated_temperature(features, sublabels, subclasses.centers)
        set_sub_classifier(model, *centroid_classifier(subclasses.centers, temperature))


def _some_features(
    run: Run,
    baseline: Supervised,
    labelled: tuple[Sample, ...],
    dataset: Dataset,
    subclasses: SubclassMap,
    batches_read: int = 4,
) -> tuple[np.ndarray, np.ndarray]:
    """Features and sublabels of the pixels of a few training batches, as the branch will see them."""
    source = build_batches(run.recipe, dataset, labelled, unlabelled=False, parents=subclasses.parents)
    model = baseline.branch.feature_model()
    features, sublabels = [], []
    for step in range(batches_read):
        batch = source.batch(step)
        at_centres = batch["sublabels"][:, 2::4, 2::4]
        labelled_pixels = at_centres >= 0
        features.append(np.asarray(model.predict_on_batch(batch["labelled"]))[labelled_pixels])
        sublabels.append(at_centres[labelled_pixels])
    return np.concatenate(features).astype(np.float32), np.concatenate(sublabels)
