"""Recipes: typed, from TOML, every error at once. Needs no Keras."""

from usrn_keras.recipe.load import build_recipe, load_recipe, load_run_recipe, shipped_recipes
from usrn_keras.recipe.schema import Recipe

__all__ = ["Recipe", "build_recipe", "load_recipe", "load_run_recipe", "shipped_recipes"]
