"""What the recipe and the subclasses make of the models."""

from __future__ import annotations

import numpy as np

from usrn_keras.data import load_dataset
from usrn_keras.recipe import Recipe
from usrn_keras.stages.models import usrn_model
from usrn_keras.subclasses import SubclassMap


def test_the_adjusted_prior_is_that_of_the_pixels_f_sub_learns_from(recipe_file):
    """Of the first class a tenth was clustered (`subclasses.rows_per_image`), of the others all."""
    recipe = Recipe.load(str(recipe_file), ["training.sub_prior=adjusted"])
    dataset = load_dataset(recipe.data)
    classes = len(dataset.classes)
    counts = np.array([2] + [1] * (classes - 1))
    feature_pixels = np.array([20] + [10] * (classes - 1))
    subclasses = SubclassMap(
        dataset.classes, counts, sizes=np.array([15, 5] + [10] * (classes - 1)),
        centers=np.zeros((counts.sum(), 1)), pixels=np.array([3200] + [160] * (classes - 1)),
        feature_pixels=feature_pixels, inertia=np.zeros(classes), prices=np.zeros(counts.sum()),
    )  # fmt: skip
    model = usrn_model(recipe, dataset, subclasses, pretrained=False)
    assert model.sub_sizes == [2400, 800] + [160] * (classes - 1)
