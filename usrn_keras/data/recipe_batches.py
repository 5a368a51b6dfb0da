"""The batches of a recipe."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.dataset import Dataset, Sample
from usrn_keras.data.keras_cv_view import ASKED_BY, KerasCVView
from usrn_keras.data.loader import Batches
from usrn_keras.data.weak_view import WeakView
from usrn_keras.optional import require_keras_cv
from usrn_keras.recipe import Recipe
from usrn_keras.strong_view import StrongView


def build_batches(
    recipe: Recipe,
    dataset: Dataset,
    labelled: tuple[Sample, ...] | None = None,
    *,
    unlabelled: bool,
    parents: np.ndarray | None = None,
) -> Batches:
    """Batches of the labelled images and, if asked for, of weak and strong views of the unlabelled.

    With `parents`, the class of each subclass, sublabels are checked against the labels.

    Raises:
        BackendError: `views.strong = "keras_cv"`, and keras-cv or tensorflow is missing.
    """
    views, training = recipe.views, recipe.training
    if views.strong == "keras_cv":
        require_keras_cv(*ASKED_BY)  # also for the Baseline: what USRN will miss is said before it trains
    weak = {"crop_size": views.crop_size, "long_side": views.long_side, "flip": views.flip}
    weak["ignore_index"] = dataset.ignore_index
    jitter = tuple(views.jitter)
    always = StrongView(jitter, jitter_probability=1.0, grayscale_probability=0.0, blur_probability=0.0)
    strong = StrongView(
        jitter,
        jitter_probability=views.jitter_probability,
        grayscale_probability=views.grayscale_probability,
        blur_probability=views.blur_probability,
    )
    return Batches(
        labelled=labelled or dataset.labelled,
        unlabelled=dataset.unlabelled if unlabelled else (),
        batch_labelled=training.batch_labelled,
        batch_unlabelled=training.batch_unlabelled if unlabelled else 0,
        weak_labelled=WeakView(scale=tuple(views.scale_labelled), **weak),
        weak_unlabelled=WeakView(scale=tuple(views.scale_unlabelled), **weak),
        strong=None if views.strong == "none" else strong,
        strong_on_host=KerasCVView() if unlabelled and views.strong == "keras_cv" else None,
        labelled_view=always if views.labelled_jitter else None,
        ignore_index=dataset.ignore_index,
        id_map=dataset.id_map,
        colour_map=dataset.colour_map,
        num_classes=len(dataset.classes),
        parents=parents,
        seed=training.seed,
        workers=recipe.data.workers,
    )
