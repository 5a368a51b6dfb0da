"""Help from docstrings, also where Python leaves them out (`python -OO`)."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any

import click


def docstring(thing: Any) -> str:
    """Return the docstring of a function or class; with `python -OO` it is read from the source.

    Example:

    >>> docstring(docstring).splitlines()[0]
    'Return the docstring of a function or class; with `python -OO` it is read from the source.'
    """
    if thing.__doc__:
        return inspect.cleandoc(thing.__doc__)
    import ast

    try:
        source = ast.parse(textwrap.dedent(inspect.getsource(thing)))
    except (OSError, TypeError):  # an installation without sources
        return ""
    return ast.get_docstring(source.body[0]) or ""


def restore_help(command: click.Command) -> click.Command:
    """Give a command and its subcommands the help that `python -OO` took."""
    if command.callback is not None and not command.help:
        command.help = docstring(command.callback)
    for sub in getattr(command, "commands", {}).values():
        restore_help(sub)
    return command
