"""Recipes of earlier versions: refused with the new keys, upgraded where a run folder holds them."""

from __future__ import annotations

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe, load_run_recipe, shipped_recipes
from usrn_keras.recipe.method_options import ALL_TERMS

OLD = {
    "training.threshold": ("0.9", "prototype_ensemble.threshold"),
    "training.lambda_u": ("0.5", "prototype_ensemble.lambda_u"),
    "training.lambda_sub": ("0.5", "usrn.lambda_sub"),
    "training.gate": ('"off"', "usrn.gate"),
    "training.terms": ('["ost", "usr", "egm"]', "usrn.terms"),
    "training.correction": ('"average"', "prototype_ensemble"),
    "training.sub_prior": ('"adjusted"', "remove the key"),
    "network.sub_head": ('"fixed_centroids"', "usrn.sub_head"),
}


def old_file(tmp_path, **values: str):
    """The quickstart recipe with keys of earlier versions, `section__key="value"`."""
    text = shipped_recipes()["quickstart"].read_text(encoding="utf-8")
    text = text[: text.index("[usrn]")] if "[usrn]" in text else text
    for name, value in values.items():
        section, _, key = name.partition("__")
        text = text.replace(f"[{section}]\n", f"[{section}]\n{key} = {value}\n")
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_of_the_old_form_learns_every_new_key_at_once(tmp_path):
    path = old_file(tmp_path, **{key.replace(".", "__"): value for key, (value, _) in OLD.items()})
    with pytest.raises(RecipeError, match=r"8 error\(s\)") as caught:
        load_recipe(str(path))
    errors = dict(line.split(": ", 1) for line in caught.value.errors)
    assert errors.keys() == OLD.keys()
    for key, (_, new) in OLD.items():
        assert new in errors[key], errors[key]


def test_the_new_key_is_that_of_the_method(tmp_path):
    path = old_file(tmp_path, training__threshold="0.9")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), ["training.method=self_training"])
    assert caught.value.errors == ("training.threshold: renamed to self_training.threshold",)


@pytest.mark.parametrize(
    ("old", "method", "options"),
    [
        (
            {"training__gate": '"stop"', "training__threshold": "0.9", "network__sub_head": '"centroids"'},
            "usrn",
            {"gate": "stop", "threshold": 0.9, "sub_head": "centroids", "terms": list(ALL_TERMS)},
        ),
        ({"training__terms": '["ost"]', "training__lambda_u": "0.5"}, "self_training", {"lambda_u": 0.5}),
        (
            {
                "training__terms": '["ost", "usr"]',
                "training__correction": '"average"',
                "network__sub_head": '"fixed_centroids"',
                "training__threshold": "0.6",
            },
            "prototype_ensemble",
            {"threshold": 0.6},
        ),
        (  # a trained F_sub that votes exists no more: the run can be read all the same
            {"training__correction": '"average"', "training__lambda_sub": "2.0"},
            "usrn",
            {"lambda_sub": 2.0},
        ),
    ],
)
def test_the_recipe_of_an_old_run_is_read_with_todays_keys(tmp_path, old, method, options):
    path = old_file(tmp_path, training__start='"baseline"', **old)
    recipe = load_run_recipe(path)
    assert recipe.training.method == method
    assert {key: getattr(recipe.options, key) for key in options} == options


def test_the_recipe_of_a_new_run_is_read_as_it_is(tmp_path):
    path = old_file(tmp_path)
    assert load_run_recipe(path).model_dump() == load_recipe(str(path)).model_dump()
