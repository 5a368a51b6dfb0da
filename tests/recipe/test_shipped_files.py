"""Shipped recipes by name and path, from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from usrn_keras.errors import RecipeError
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.shipped import RECIPES, TABLES

SPELLINGS = [
    "cityscapes_1_16",
    "cityscapes_1_16.toml",
    "recipes/cityscapes_1_16",
    "recipes/cityscapes_1_16.toml",
    "./recipes/cityscapes_1_16.toml",
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("source", SPELLINGS)
def test_every_spelling_is_the_shipped_recipe(source):
    recipe = load_recipe(source)
    assert recipe.name == "cityscapes_1_16"
    assert recipe == load_recipe("cityscapes_1_16")
    assert not RECIPES.is_overridden(source)


@pytest.mark.parametrize("source", SPELLINGS)
def test_a_local_file_takes_precedence(folder, source):
    local = folder / source
    local.parent.mkdir(exist_ok=True)
    local.write_bytes(RECIPES.find("quickstart").read_bytes())
    assert load_recipe(source).data.dataset == "quickstart"
    assert RECIPES.is_overridden(source)


def test_the_shipped_file_itself_overrides_nothing(folder):
    """As in a clone of the repository that is installed with `pip install -e .`."""
    (folder / "recipes").symlink_to(RECIPES.find("quickstart").parent)
    assert RECIPES.find("recipes/quickstart.toml") == RECIPES.by_name()["quickstart"]
    assert not RECIPES.is_overridden("recipes/quickstart.toml")


def test_a_local_folder_of_the_name_is_not_a_recipe(folder):
    (folder / "quickstart").mkdir()
    assert load_recipe("quickstart").name == "quickstart"


@pytest.mark.parametrize(
    "source", ["other/quickstart.toml", "tables/quickstart", "recipes/tables/quickstart"]
)
def test_other_folders_have_no_shipped_recipes(source):
    with pytest.raises(RecipeError, match="neither a file nor a shipped recipe") as error:
        load_recipe(source)
    assert error.value.hint == "Did you mean `quickstart`?"


def test_a_recipe_is_no_table():
    assert TABLES.name_of("main") == "main"
    assert TABLES.name_of("voc_1_32") is None and RECIPES.name_of("main") is None
