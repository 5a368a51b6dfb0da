"""The views that training begins with: of its own batches, not of a copy of what they do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.data import Dataset
from usrn_keras.data.batches.build import build_batches
from usrn_keras.recipe import Recipe


@dataclass(frozen=True)
class LabelledView:
    """A weak view of a labelled image.

    Args:
        name: Of the image's file.
        image: `(crop, crop, 3)` uint8.
        labels: `(crop, crop)` int32 class ids and ignored pixels.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class UnlabelledView:
    """The two views of an unlabelled image.

    Args:
        name: Of the image's file.
        weak, strong: `(crop, crop, 3)` uint8; `strong` is None where the recipe has none.
        parameters: `(6,)` float32 of the strong view, see `usrn_keras.views.StrongView.draw`; None
            where they are not known.
    """

    name: str
    weak: np.ndarray
    strong: np.ndarray | None
    parameters: np.ndarray | None


def first_views(
    recipe: Recipe, dataset: Dataset, count: int
) -> tuple[list[LabelledView], list[UnlabelledView]]:
    """The first `count` views of each kind, in the order in which training sees them.

    Raises:
        DataError: A file of the first batches cannot be read.
    """
    batches = build_batches(recipe, dataset, unlabelled=True)
    labelled: list[LabelledView] = []
    unlabelled: list[UnlabelledView] = []
    step = 0
    while min(len(labelled), len(unlabelled)) < count:
        batch, names = batches.batch(step), batches.names(step)
        labelled += _labelled(batch, names[: batches.batch_labelled])
        unlabelled += _unlabelled(batch, names[batches.batch_labelled :])
        step += 1
    return labelled[:count], unlabelled[:count]


def _labelled(batch: dict[str, np.ndarray], names: list[str]) -> list[LabelledView]:
    images = batch["labelled"]
    if "labelled_parameters" in batch:
        images = _strong(images, batch["labelled_parameters"])
    return [LabelledView(*view) for view in zip(names, images, batch["labels"], strict=True)]


def _unlabelled(batch: dict[str, np.ndarray], names: list[str]) -> list[UnlabelledView]:
    weak, parameters = batch["weak"], batch.get("strong_parameters")
    strong = batch.get("strong")
    if strong is None and parameters is not None:
        strong = _strong(weak, parameters)
    nothing = [None] * len(weak)
    return [
        UnlabelledView(*view)
        for view in zip(
            names,
            weak,
            nothing if strong is None else strong,
            nothing if parameters is None else parameters,
            strict=True,
        )
    ]


def _strong(images: np.ndarray, parameters: np.ndarray) -> np.ndarray:
    from keras import ops

    from usrn_keras.views import strong_view

    return ops.convert_to_numpy(strong_view(images, parameters)).round().astype(np.uint8)
