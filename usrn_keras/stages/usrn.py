"""Stage 2: USRN on labelled and unlabelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from usrn_keras.data import Dataset, Sample
from usrn_keras.data.batches.build import build_batches
from usrn_keras.errors import DataError
from usrn_keras.methods import USRN
from usrn_keras.progress import Progress
from usrn_keras.runs import SUBCLASSES, Run
from usrn_keras.runs import USRN as USRN_STAGE
from usrn_keras.stages.baseline import trained_baseline
from usrn_keras.stages.models import copy_baseline, set_sub_classifier, usrn_model
from usrn_keras.stages.train import train
from usrn_keras.stages.weights import checkpoint_file
from usrn_keras.subclasses import SubclassMap, sublabel_file
from usrn_keras.subclasses.head import calibrated_temperature, centroid_classifier
from usrn_keras.training.loop import BatchSource


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
        source = build_batches(run.recipe, dataset, labelled, unlabelled=False, parents=subclasses.parents)
        features, sublabels = some_features(source, baseline.branch.feature_model().predict_on_batch)
        temperature = calibrated_temperature(features, sublabels, subclasses.centers)
        set_sub_classifier(model, *centroid_classifier(subclasses.centers, temperature))


def some_features(
    batches: BatchSource,
    extract: Callable[[np.ndarray], np.ndarray],
    *,
    batches_read: int = 4,
    most_read: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """Features and sublabels of the labelled pixels of a few training batches, as the branch will see them.

    Of masks that are points or strokes a few batches may show none: then more are read.

    Args:
        batches: With `labelled` images and `sublabels`.
        extract: Gives the features `(batch, height / 4, width / 4, channels)` of images.
        batches_read: As many as are enough, if they show any.
        most_read: As many as are read before there is an error.

    Raises:
        DataError: No batch shows a labelled pixel.
    """
    features, sublabels = [], []
    for step in range(most_read):
        if step >= batches_read and any(map(len, sublabels)):
            break
        batch = batches.batch(step)
        at_centres = batch["sublabels"][:, 2::4, 2::4]
        labelled_pixels = at_centres >= 0
        features.append(np.asarray(extract(batch["labelled"]))[labelled_pixels])
        sublabels.append(at_centres[labelled_pixels])
    if not any(map(len, sublabels)):
        raise DataError(
            f"{most_read} batches of labelled images show no pixel with a class to measure features at",
            hint="Label more pixels, raise views.crop_size, or set network.sub_head = 'random' (with msl).",
        )
    return np.concatenate(features).astype(np.float32), np.concatenate(sublabels)
