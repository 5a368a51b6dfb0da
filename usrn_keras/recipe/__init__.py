"""Recipes: typed, from TOML, every fault at once."""

from usrn_keras.recipe.load import load_recipe, shipped_recipes
from usrn_keras.recipe.schema import Recipe

__all__ = ["Recipe", "load_recipe", "shipped_recipes"]
