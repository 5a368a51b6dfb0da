from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.evaluation import WHOLE, Inference, inference_of
from usrn_keras.recipe import Recipe


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
    recipe = Recipe.load(
        "quickstart", ["evaluation.mode=slide", "evaluation.flip=true", "views.crop_size=96"]
    )
    assert inference_of(recipe) == Inference("slide", window=96, overlap=0.33, flip=True)
    assert inference_of(recipe, {"flip": None, "scales": [0.5]}).scales == (0.5,)
    assert inference_of(recipe, {"flip": None, "scales": None}).flip
    assert inference_of(recipe, {"mode": "whole", "flip": False}).line() == "whole"


def test_the_best_weights_need_measurements():
    Recipe.load("quickstart", ["evaluation.checkpoint=best", "evaluation.every=10"])
    with pytest.raises(RecipeError, match=r"evaluation.checkpoint: `best` needs evaluation.every above 0"):
        Recipe.load("quickstart", ["evaluation.checkpoint=best", "evaluation.every=0"])
