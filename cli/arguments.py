"""Arguments for recipes and tables: names and paths are completed, and a local file that wins is reported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from usrn_keras.recipe.shipped import ShippedFiles


class ShippedFile(click.ParamType):
    """Name or path of a file of one kind in the package, or path of a local file."""

    def __init__(self, kind: str):
        self.name = kind

    @property
    def shipped(self) -> ShippedFiles:
        """The files of the kind in the package; imported on first use, for the help needs none."""
        from usrn_keras.recipe.shipped import RECIPES, TABLES

        return {"recipe": RECIPES, "table": TABLES}[self.name]

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        completing = ctx is not None and ctx.resilient_parsing
        if not completing and self.shipped.is_overridden(value):
            click.echo(f"note: using the local file {value}, not the shipped {self.name}", err=True)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        files = [path.name for path in Path().glob("*.toml")]
        names = [*self.shipped.by_name(), *sorted(files)]
        found = [CompletionItem(name) for name in names if name.startswith(incomplete)]
        return found or [CompletionItem(incomplete, type="file")]


RECIPE = ShippedFile("recipe")
TABLE = ShippedFile("table")
