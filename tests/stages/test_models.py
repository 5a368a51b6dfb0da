"""What the recipe and the subclasses make of the models."""

from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.errors import DataError
from usrn_keras.recipe import load_recipe
from usrn_keras.stages.models import supervised_model, usrn_model
from usrn_keras.stages.usrn import some_features
from usrn_keras.subclasses import SubclassMap


def subclasses_of(dataset: Dataset) -> SubclassMap:
    """Two subclasses of the first class, of which a tenth was clustered; of all other classes one, of all."""
    classes = len(dataset.classes)
    counts = np.array([2] + [1] * (classes - 1))
    return SubclassMap(
        dataset.classes, counts, sizes=np.array([15, 5] + [10] * (classes - 1)),
        centers=np.zeros((counts.sum(), 1)), pixels=np.array([3200] + [160] * (classes - 1)),
        feature_pixels=np.array([20] + [10] * (classes - 1)), inertia=np.zeros(classes),
        prices=np.zeros(counts.sum()),
    )  # fmt: skip


def test_the_adjusted_prior_is_that_of_the_pixels_f_sub_learns_from(recipe_file):
    """A tenth was clustered where `subclasses.rows_per_image` says so."""
    recipe = load_recipe(str(recipe_file), ["training.sub_prior=adjusted"])
    dataset = load_dataset(recipe.data)
    model = usrn_model(recipe, dataset, subclasses_of(dataset), pretrained=False)
    assert model.sub_sizes == [2400, 800] + [160] * (len(dataset.classes) - 1)


def test_every_option_of_the_recipe_reaches_the_method(recipe_file):
    """Each has another value than its default."""
    options = {"threshold": 0.6, "lambda_u": 0.5, "lambda_sub": 2.0, "gate": "stop", "correction": "average"}
    settings = [f"training.{name}={value}" for name, value in options.items()]
    recipe = load_recipe(
        str(recipe_file), [*settings, "training.terms=['msl', 'ost', 'usr', 'egm']", "data.ignore_index=77"]
    )
    dataset = load_dataset(recipe.data)
    model = usrn_model(recipe, dataset, subclasses_of(dataset), pretrained=False)
    assert {name: getattr(model, name) for name in options} == options
    assert (model.terms, model.ignore_index) == (("msl", "ost", "usr", "egm"), 77)
    assert supervised_model(recipe, dataset, pretrained=False).ignore_index == 77


class Sparse:
    """Batches of which a single one shows a labelled pixel where features are."""

    def __init__(self, shown: int):
        self.shown, self.read = shown, []

    def batch(self, step: int) -> dict[str, np.ndarray]:
        self.read.append(step)
        sublabels = np.full((2, 8, 8), -1)
        sublabels[0, 2, 2] = 1 if step == self.shown else -1
        return {"labelled": np.zeros((2, 8, 8, 3), "uint8"), "sublabels": sublabels}


def extract(images: np.ndarray) -> np.ndarray:
    return np.ones((*np.array(images.shape[:3]) // (1, 4, 4), 5))


def test_batches_of_points_and_strokes_are_read_until_they_show_some():
    batches = Sparse(9)
    features, sublabels = some_features(batches, extract)
    assert features.shape == (1, 5) and sublabels.tolist() == [1] and batches.read == list(range(10))
    batches = Sparse(0)
    some_features(batches, extract)
    assert batches.read == [0, 1, 2, 3]
    with pytest.raises(DataError, match="20 batches of labelled images show no pixel with a class"):
        some_features(Sparse(30), extract, most_read=20)
