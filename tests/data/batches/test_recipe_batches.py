"""What a recipe says of its views arrives in its batches; the defaults are those of the paper."""

from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.data.batches.batch_spec import BatchSpec
from usrn_keras.data.batches.padding import IMAGE_MEAN
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.data.catalog import load_dataset
from usrn_keras.data.views.random_intensity import RandomIntensity
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.schema import ViewsSection
from usrn_keras.strong_view import StrongView


@pytest.fixture
def batches(recipe_file):
    def batches(*overrides, **options):
        recipe = load_recipe(str(recipe_file), overrides)
        return build_batches(recipe, load_dataset(recipe.data), **options)

    return batches


def test_views_of_the_paper_by_default(batches):
    built = batches()
    assert built.weak_labelled.scale == (0.5, 2.0) and built.weak_unlabelled.scale == (0.8, 2.0)
    assert built.weak_labelled.flip == built.weak_unlabelled.flip == 0.5
    assert built.strong == StrongView((0.4, 0.4, 0.4, 0.1), 0.8, 0.2, 0.5)
    assert built.labelled_view is None
    assert ViewsSection().strong == "device"


def test_keys_of_the_recipe_arrive(batches):
    built = batches(
        "views.scale_labelled=[1.0, 1.5]",
        "views.scale_unlabelled=[0.7, 1.2]",
        "views.flip=0.25",
        "views.jitter=[0.1, 0.2, 0.3, 0.05]",
        "views.jitter_probability=0.6",
        "views.grayscale_probability=0.1",
        "views.blur_probability=0.9",
        "views.labelled_jitter=true",
        "training.batch_labelled=2",
        "training.batch_unlabelled=3",
        "training.seed=5",
    )
    assert built.weak_labelled.scale == (1.0, 1.5) and built.weak_unlabelled.scale == (0.7, 1.2)
    assert built.weak_labelled.flip == 0.25
    assert built.strong == StrongView((0.1, 0.2, 0.3, 0.05), 0.6, 0.1, 0.9)
    assert built.labelled_view == StrongView((0.1, 0.2, 0.3, 0.05), 1.0, 0.0, 0.0)
    assert (built.batch_labelled, built.batch_unlabelled, built.seed) == (2, 3, 5)


def test_strong_views_of_random_intensity(batches):
    """Computed on the host, from the weak views of the batch."""
    built = batches("views.strong=random_intensity")
    assert built.strong == RandomIntensity()
    batch = built.batch(0)
    assert "strong_parameters" not in batch and batch["strong"].shape == batch["weak"].shape
    assert (batch["strong"] != batch["weak"]).any()
    np.testing.assert_array_equal(built.batch(0)["strong"], batch["strong"])


def test_no_unlabelled_images_for_the_baseline(batches):
    assert set(batches(spec=BatchSpec()).batch(0)) == {"labelled", "labels"}


def test_scales_of_both_streams(batches):
    built = batches("views.long_side=400")
    rng = np.random.default_rng(0)
    for view, smallest in ((built.weak_labelled, 200), (built.weak_unlabelled, 320)):
        sides = [view.draw(rng, 360, 480).width for _ in range(8000)]
        assert (min(sides), max(sides)) == (smallest, 800)
        shares = np.histogram(sides, bins=4, range=(smallest, 801))[0] / len(sides)
        assert np.abs(shares - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / len(sides))


def test_images_are_padded_by_the_mean_and_masks_by_255(batches):
    arrays = batches("views.crop_size=64", "views.long_side=32", "views.scale_labelled=[1.0, 1.0]").batch(0)
    padding = arrays["labels"] == 255
    assert 0.7 < padding.mean() < 1  # 32 x 27 of 64 x 64 pixels are image
    assert (arrays["labelled"][padding] == IMAGE_MEAN).all()
