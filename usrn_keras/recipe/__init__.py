"""Typed recipes read from TOML; all errors are reported at once. Does not import Keras."""

from usrn_keras.recipe.load import build_recipe, load_recipe, load_run_recipe, shipped_recipes
from usrn_keras.recipe.schema import Recipe

__all__ = ["Recipe", "build_recipe", "load_recipe", "load_run_recipe", "shipped_recipes"]
