"""Checks before the first step of what would stop a run hours later."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np

from usrn_keras.data import Dataset, read_mask
from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.errors import BackendError, DataError, RecipeError, RunError
from usrn_keras.methods import find_method
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.schema import SubclassesSection
from usrn_keras.recipe.stage_plan import Label
from usrn_keras.runs import Run
from usrn_keras.stages.backbone_features import validate_features
from usrn_keras.subclasses import Clustering

MOST_CLASSES = 255  # of an 8-bit mask, in which 255 means no label


def validate_run(run: Run, dataset: Dataset) -> None:
    """Raise what a later stage would raise, as far as it is known before the first one begins.

    Raises:
        BackendError: The package that clusters is not installed.
        DataError: `evaluation.split` has no images, no labelled image has a pixel with a class, or there are
            no unlabelled images, or too many classes, for the method.
        RecipeError: `subclasses.counts` are not those of the classes, or the method cannot be trained on
            features.
        RunError: The best weights are asked for, of a stage that is complete and kept none.
    """
    validate_features(run.recipe, find_method(run.recipe.training.method))
    validate_unlabelled(run.recipe, dataset)
    validate_labelling(run, dataset)
    validate_evaluation(run.recipe, dataset)
    validate_clustering(run, dataset)
    _validate_best_weights(run)


def validate_unlabelled(recipe: Recipe, dataset: Dataset) -> None:
    """Raise a `DataError` where the method learns from unlabelled images, and there are none."""
    method = find_method(recipe.training.method)
    if isinstance(method.inputs, BatchSpec):
        needed = method.inputs.reads_unlabelled
    else:  # they depend on the options
        needed = recipe.options is not None and recipe.options.reads_unlabelled
    if needed and not dataset.unlabelled:
        raise DataError(
            f"training.method = {recipe.training.method!r} learns from unlabelled images, but {dataset.name} "
            "has none",
            hint="Add unlabelled images (with data.labels = 'all' there are none), or choose "
            "training.method = 'supervised'.",
        )


def validate_labelling(run: Run, dataset: Dataset) -> None:
    """Raise a `DataError` where a run has labelling stages, and the data set does not allow them."""
    if not any(isinstance(stage, Label) for stage in run.plan.values()):
        return
    method = run.recipe.training.method
    if len(dataset.classes) > MOST_CLASSES:
        raise DataError(
            f"training.method = {method!r} writes pseudo masks of 8 bits for at most {MOST_CLASSES} classes; "
            f"{dataset.name} has {len(dataset.classes)}",
            hint="Choose a method that makes its labels while it trains, such as self_training.",
        )


def validate_clustering(run: Run, dataset: Dataset) -> None:
    """The same for the Baseline and its subclasses alone."""
    validate_counts(run.recipe.subclasses, dataset)
    if run.cluster_stage and not run.is_complete(run.cluster_stage):
        clustering = Clustering(**run.recipe.subclasses.model_dump())
        if clustering.algorithm == "constrained":
            require_constrained_kmeans()
    if not run.is_complete(run.stages[0]):
        _validate_masks(dataset)


def validate_evaluation(recipe: Recipe, dataset: Dataset) -> None:
    """Raise a `DataError` where `evaluation.split` has no images."""
    split = recipe.evaluation.split
    if not getattr(dataset, split):
        other = "val" if split == "test" else "test"
        raise DataError(
            f"evaluation.split = {split!r}: the data set {dataset.name} has no {split} images",
            hint=f"Set evaluation.split = {other!r}, or name them with data.{split}.",
        )


def validate_counts(settings: SubclassesSection, dataset: Dataset) -> None:
    """Raise a `RecipeError` where `subclasses.counts` has not one count for each class."""
    if settings.counts and len(settings.counts) != len(dataset.classes):
        raise RecipeError(
            f"subclasses.counts: must have one count for each of the {len(dataset.classes)} classes of "
            f"{dataset.name}, received {len(settings.counts)}",
            hint="Give as many, or leave the key out: the counts then follow from the sizes of the classes.",
        )


def require_constrained_kmeans() -> None:
    """Raise a `BackendError` where the package k-means-constrained is missing."""
    if find_spec("k_means_constrained") is None:
        from usrn_keras.clustering.constrained_kmeans import MISSING_HINT  # with scikit-learn and numba

        raise BackendError(
            "clusters by k-means-constrained need the package of this name, which is not installed",
            hint=MISSING_HINT,
        )


def _validate_masks(dataset: Dataset) -> None:
    """Reads masks until one has a class, which is the first one as a rule."""
    for sample in dataset.labelled:
        if (np.asarray(read_mask(sample.mask, dataset)) != dataset.ignore_index).any():
            return
    raise DataError(
        f"no labelled image of {dataset.name} has a pixel with a class: all {len(dataset.labelled)} masks "
        f"hold the value to ignore alone",
        hint="`usrn data check RECIPE` shows which values they hold; data.mask_ids and data.ignore_index "
        "say what they mean.",
    )


def _validate_best_weights(run: Run) -> None:
    """A stage keeps its best weights while it trains: complete, it cannot make up for it."""
    if run.recipe.evaluation.checkpoint != "best":
        return
    for folder, stage in run.training_stages.items():
        model = stage.name
        if run.is_complete(folder) and not run.has_best(model):
            raise RunError(
                f"{run.path} kept no best weights of its {model} model, which is complete: when it was "
                "trained, evaluation.every was 0",
                hint="Take the last ones, evaluation.checkpoint = 'last', or start a new run: --run FOLDER",
            )
