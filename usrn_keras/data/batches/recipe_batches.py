"""Build the batches of a recipe."""

from __future__ import annotations

from typing import Any

import numpy as np

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.batches.feature_batches import FeatureBatches, FeatureSource
from usrn_keras.data.batches.loader import Batches
from usrn_keras.data.dataset import Dataset, Sample
from usrn_keras.data.views.feature_view import FeatureView
from usrn_keras.data.views.keras_cv_view import REQUIRED_BY, KerasCVView
from usrn_keras.data.views.random_intensity import RandomIntensity
from usrn_keras.data.views.weak_view import WeakView
from usrn_keras.optional import require_keras_cv
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.bands import RGB, parse_bands
from usrn_keras.strong_view import NOT_VISIBLE, StrongView


def build_batches(
    recipe: Recipe,
    dataset: Dataset,
    labelled: tuple[Sample, ...] | None = None,
    *,
    pseudo: tuple[Sample, ...] = (),
    spec: BatchSpec | None = None,
    parents: np.ndarray | None = None,
    part: tuple[int, int] = (0, 1),
    features: FeatureSource | None = None,
    stride: int = 16,
) -> Batches:
    """Build the batches of a recipe.

    Args:
        recipe: Recipe with the views and batch sizes.
        dataset: Data set of the images.
        labelled: Labelled samples; None for those of the data set.
        pseudo: Unlabelled samples with pseudo masks.
        spec: Contents of a batch; None for labelled images, and weak and strong views of unlabelled ones.
        parents: Class of each subclass, `(subclasses,)`, to check sublabels against the labels; None skips
            the check.
        part: Number of this process and number of processes that share each batch, see `Batches`.
        features: Features of whole images, with `views.source` other than `images`.
        stride: Stride of the deepest features.

    Raises:
        BackendError: `views.strong` is `keras_cv`, and keras-cv or tensorflow is not installed.
    """
    spec = BatchSpec(unlabelled=True, strong=1) if spec is None else spec
    views, training = recipe.views, recipe.training
    if views.strong == "keras_cv":
        require_keras_cv(*REQUIRED_BY)  # checked for the Baseline too, so that USRN cannot fail after it
    weak = {"crop_size": views.crop_size, "long_side": views.long_side, "flip": views.flip}
    weak["ignore_index"] = dataset.ignore_index
    jitter = tuple(views.jitter)
    bands = parse_bands(recipe.data.bands) or RGB
    visible = () if bands.are_rgb else bands.visible or NOT_VISIBLE
    always = StrongView(
        jitter,
        jitter_probability=1.0,
        grayscale_probability=0.0,
        blur_probability=0.0,
        visible=visible,
    )
    strong, on_host = None, None
    if views.strong == "random_intensity":
        strong = on_host = RandomIntensity()
    elif views.strong not in ("feature_dropout", "none"):
        strong = StrongView(
            jitter,
            jitter_probability=views.jitter_probability,
            grayscale_probability=views.grayscale_probability,
            blur_probability=views.blur_probability,
            visible=visible,
        )
    if views.strong == "keras_cv" and spec.strong:
        on_host = KerasCVView()
    own: dict[str, Any] = {"workers": recipe.data.workers}
    if features is not None:
        own = {
            "view": FeatureView(views.crop_size, views.long_side, stride, views.flip),
            "features": features,
            "feature_dropout": views.strong == "feature_dropout",
            "workers": recipe.data.workers if features.in_threads else 0,
        }
    return (Batches if features is None else FeatureBatches)(
        labelled=labelled or dataset.labelled,
        unlabelled=dataset.unlabelled if spec.unlabelled else (),
        pseudo=pseudo,
        batch_labelled=training.batch_labelled,
        batch_unlabelled=training.batch_unlabelled if spec.reads_unlabelled else 0,
        weak_labelled=WeakView(scale=tuple(views.scale_labelled), **weak),
        weak_unlabelled=WeakView(scale=tuple(views.scale_unlabelled), **weak),
        strong=strong,
        strong_on_host=on_host,
        labelled_view=always if views.labelled_jitter else None,
        spec=spec,
        ignore_index=dataset.ignore_index,
        id_map=dataset.id_map,
        colour_map=dataset.colour_map,
        mask_threshold=dataset.mask_threshold,
        num_classes=len(dataset.classes),
        parents=parents,
        seed=training.seed,
        part=part,
        **own,
    )
