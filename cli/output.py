"""Print results to stdout as JSON, text or tables."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

FILE_WIDTH = 1000  # columns if stdout is not a terminal, so that no value is truncated


class Tabular(Protocol):
    """Result that can be printed as a rich table."""

    def rich(self) -> RenderableType: ...


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(figures: Tabular) -> None:
    """Print a table in the width of the terminal, or untruncated if stdout is not a terminal."""
    print_rich(figures.rich())


def wrapped(label: str, text: str) -> list[str]:
    """Wrap a text beside its label to the width of the terminal; not at all if stdout is no terminal."""
    return textwrap.wrap(
        text,
        shutil.get_terminal_size().columns if sys.stdout.isatty() else FILE_WIDTH,
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_rich(shown: RenderableType) -> None:
    """Print a rich renderable in the width of the terminal, or untruncated if stdout is not a terminal."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(shown)
