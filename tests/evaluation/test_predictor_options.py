from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.evaluation import WHOLE, Inference, inference_of
from usrn_keras.evaluation.predictor import resized, scaled
from usrn_keras.recipe import load_recipe


def test_every_fault_is_named():
    with pytest.raises(RecipeError) as error:
        Inference("tiles", overlap=1.0, scales=(1.0, 0.0))
    text = str(error.value)
    assert "whole or slide, received 'tiles'" in text
    assert "below 1, received 1.0" in text and "above 0, received [1.0, 0.0]" in text


@pytest.mark.parametrize("window", [0, 33])
def test_windows_are_of_a_size_that_networks_take(window):
    with pytest.raises(RecipeError, match=rf"multiple of 32 above 0, received {window}"):
        Inference("slide", window=window)


def test_lines():
    assert WHOLE.line() == "whole"
    assert Inference(flip=True, scales=[0.75, 1, 1.5]).line() == "whole + flip + scales 0.75/1/1.5"
    assert Inference("slide", window=64, overlap=0.5).line() == "slide 64 overlap 0.5"


def test_recipe_and_what_is_given_instead():
    recipe = load_recipe(
        "quickstart", ["evaluation.mode=slide", "evaluation.flip=true", "views.crop_size=96"]
    )
    assert inference_of(recipe) == Inference("slide", window=96, overlap=0.33, flip=True)
    assert inference_of(recipe, {"flip": None, "scales": [0.5]}).scales == (0.5,)
    assert inference_of(recipe, {"flip": None, "scales": None}).flip
    assert inference_of(recipe, {"mode": "whole", "flip": False}).line() == "whole"


def test_the_best_weights_need_measurements():
    load_recipe("quickstart", ["evaluation.checkpoint=best", "evaluation.every=10"])
    with pytest.raises(RecipeError, match=r"evaluation.checkpoint: `best` needs evaluation.every above 0"):
        load_recipe("quickstart", ["evaluation.checkpoint=best", "evaluation.every=0"])


@pytest.mark.parametrize("factor", [2, 3, 4])  # at 2, bilinear would give the same
def test_shrinking_takes_means_of_areas(factor):
    image = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)
    means = image.reshape(24 // factor, factor, 36 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(scaled(image, 1 / factor) - means).max() <= 0.51


@pytest.mark.parametrize(("scale", "size"), [(1.0, (7, 5)), (1.5, (10, 8)), (0.01, (1, 1)), (2.0, (14, 10))])
def test_sizes_are_rounded_and_never_empty(scale, size):
    assert scaled(np.zeros((7, 5, 3), np.uint8), scale).shape == (*size, 3)


@pytest.mark.parametrize("channels", [1, 4, 128, 129, 300])
def test_back_to_size_for_any_number_of_classes(channels):
    values = np.random.default_rng(0).random((3, 2, channels), dtype=np.float32)
    found = resized(values, 6, 4)
    assert found.shape == (6, 4, channels)
    np.testing.assert_allclose(found[1, 1], bilinear(values, 0.25, 0.25), rtol=1e-5)
    np.testing.assert_allclose(found[0, 0], values[0, 0], rtol=1e-6)  # beyond the centres: the nearest


def bilinear(values: np.ndarray, row: float, column: float) -> np.ndarray:
    """Between the four pixels at the top left."""
    above = (1 - column) * values[0, 0] + column * values[0, 1]
    return (1 - row) * above + row * ((1 - column) * values[1, 0] + column * values[1, 1])
