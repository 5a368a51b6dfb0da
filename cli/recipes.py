"""`usrn recipes`: the shipped recipes, and the keys of a recipe."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.completion import complete_recipe, complete_section
from usrn_cli.output import print_json, wrapped
from usrn_cli.suggestions import Group
from usrn_keras.errors import RecipeError, StorageError


@click.group("recipes", cls=Group, short_help="List, show and copy the shipped recipes; list all keys.")
def command() -> None:
    """The shipped recipes: settings of whole experiments, to run as they are or to start from.

    \b
    Examples:
      usrn recipes list
      usrn recipes show quickstart
      usrn recipes copy camvid_1_8 my_recipe.toml
      usrn recipes keys training
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Names, titles and files as JSON.")
def list_recipes(as_json: bool) -> None:
    """Names of the shipped recipes, each with its title.

    \b
    Examples:
      usrn recipes list
      usrn recipes list --json
    """
    from usrn_keras.recipe import shipped_recipes

    recipes = shipped_recipes()
    if as_json:
        print_json([{"name": n, "title": _title(path), "path": str(path)} for n, path in recipes.items()])
    else:
        width = max(map(len, recipes))
        for name, path in recipes.items():
            click.echo("\n".join(wrapped(f"{name:<{width}}  ", _title(path))))


@command.command("show")
@click.argument("name", shell_complete=complete_recipe)
def show(name: str) -> None:
    """Print the recipe NAME.

    \b
    Example:
      usrn recipes show cityscapes_1_16
    """
    click.echo(_find(name).read_text(encoding="utf-8"), nl=False)


@command.command("copy")
@click.argument("name", shell_complete=complete_recipe)
@click.argument("destination", required=False, type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace DESTINATION if it exists.")
def copy(name: str, destination: Path | None, force: bool) -> None:
    """Copy the recipe NAME to DESTINATION: a file, an existing folder, or by default NAME.toml here.

    \b
    Examples:
      usrn recipes copy quickstart
      usrn recipes copy camvid_1_8 my_recipe.toml
    """
    from usrn_keras.files import atomic_path

    source = _find(name)
    target = destination or Path(source.name)
    target = target / source.name if target.is_dir() else target
    if target.exists() and not force:
        raise StorageError(
            f"{target} exists already", hint="Choose another name, or replace it with --force."
        )
    with atomic_path(target) as temporary:
        temporary.write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    click.echo(target)


@command.command("keys")
@click.argument("section", required=False, default="", shell_complete=complete_section)
@click.option("--json", "as_json", is_flag=True, help="Print sections and keys as JSON.")
def keys(section: str, as_json: bool) -> None:
    """Print every key of a recipe with its type, range, default and description.

    SECTION is the name of a section, or MODULE:CLASS of a method of your own; without it all sections are
    printed, those that every recipe has and the options of each method.

    \b
    Examples:
      usrn recipes keys
      usrn recipes keys training
      usrn recipes keys usrn
      usrn recipes keys --json | jq '.[] | select(.name == "views").keys[].name'
    """
    from usrn_keras.recipe.key_list import keys_as_json, keys_as_text, recipe_keys

    found = recipe_keys(section)
    if as_json:
        print_json(keys_as_json(found))
    else:
        click.echo(keys_as_text(found))


def _find(name: str) -> Path:
    from usrn_keras.recipe.shipped import RECIPES

    recipes, found = RECIPES.by_name(), RECIPES.name_of(name)
    if found is None:
        raise RecipeError(
            f"no shipped recipe {name!r}; there are: {', '.join(recipes)}", hint=RECIPES.suggest(name)
        )
    return recipes[found]


def _title(path: Path) -> str:
    """The first line of the file, which says what the recipe is."""
    with open(path, encoding="utf-8") as file:
        return file.readline().lstrip("# ").strip()
