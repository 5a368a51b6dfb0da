"""Completion of values in a shell: keys of a recipe with their values, splits, models and sections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, get_args

import click

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def _completion(candidates: Callable[[click.Context, str], Iterable[str]]) -> Complete:
    """Make a `shell_complete` of click; a recipe that cannot be read completes nothing."""

    @wraps(candidates)
    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
        from usrn_keras.errors import USRNError

        try:
            return [value for value in candidates(ctx, incomplete) if value.startswith(incomplete)]
        except USRNError:
            return []

    return complete


@_completion
def complete_setting(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Complete `SECTION.KEY=`, and the value of a key that has a set of values."""
    from usrn_keras.recipe.key_list import recipe_keys

    keys = {f"{section.name}.{key.name}": key for section in recipe_keys() for key in section.keys}
    names = [name for name in keys if f"{name}=".startswith(incomplete)]
    if "=" in incomplete:
        names = [incomplete.partition("=")[0]]
    if len(names) != 1 or names[0] not in keys:
        return [f"{name}=" for name in names]
    (name,) = names
    return [f"{name}={value}" for value in _values(ctx, name, keys[name])] or [f"{name}="]


def _values(ctx: click.Context, name: str, key: Any) -> list[str]:
    from usrn_keras.recipe.plugins import method_names

    if name == "training.method":
        return method_names()
    if name == "data.split":
        return _splits(ctx)
    if key.type == "boolean":
        return ["true", "false"]
    return [choice if isinstance(choice, str) else json.dumps(choice) for choice in key.choices]


def _splits(ctx: click.Context) -> list[str]:
    """Return the shipped splits of the recipe's data set, or of all data sets without a recipe."""
    from usrn_keras.data.formats.lists import split_names
    from usrn_keras.recipe import load_recipe
    from usrn_keras.recipe.schema import DataSection

    recipe = _recipe(ctx)
    datasets = get_args(DataSection.model_fields["dataset"].annotation)
    if recipe is not None:
        datasets = (load_recipe(recipe).data.dataset,)
    return sorted({name for dataset in datasets for name in split_names(dataset)})


def _recipe(ctx: click.Context) -> str | None:
    """Return the recipe among the words of the command, if it was typed.

    The last word is an option without its value yet, and click stops before it assigns any arguments.
    """
    arguments = [one.name for one in ctx.command.params if isinstance(one, click.Argument)]
    given = dict(zip(arguments, ctx.args, strict=False))
    return given.get("recipe") or given.get("run_or_recipe")


@_completion
def complete_splits(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Complete the last of several splits, comma-separated."""
    before = "".join(incomplete.rpartition(",")[:2])
    return [f"{before}{name}" for name in _splits(ctx)]


@_completion
def complete_model(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Complete the name of a model of a run."""
    from usrn_keras.recipe.plugins import method_names

    return dict.fromkeys(["baseline", *method_names()])


@_completion
def complete_section(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Complete the name of a section of a recipe."""
    from usrn_keras.recipe.key_list import recipe_keys

    return [section.name for section in recipe_keys()]


@_completion
def complete_recipe(ctx: click.Context, incomplete: str) -> Iterable[str]:
    """Complete the name of a shipped recipe."""
    from usrn_keras.recipe.shipped import RECIPES

    return RECIPES.by_name()
