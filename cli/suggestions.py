"""Suggest the most similar command or option value; click does so for options alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import click


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Return the end of an error message, with a leading space: the most similar name, if one is similar."""
    near = difflib.get_close_matches(name, [*allowed], n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


class Group(click.Group):
    """Command group that suggests a command for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        unknown = not name.startswith("-") and self.get_command(ctx, name) is None
        if unknown and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r}.{nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


class Choice(click.Choice):
    """Choice that suggests a value for an unknown one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message}{nearest(str(value), self.choices)}", param, ctx)
