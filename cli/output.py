"""Results on stdout: as JSON for machines, as text and tables for people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

MACHINE_WIDTH = 1000  # columns off a terminal: no figure may be cut off there


class Tabular(Protocol):
    """What a table for people can be made of, such as `Comparison` and `ClusterReport`."""

    def rich(self) -> RenderableType: ...


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(figures: Tabular) -> None:
    """Print a table, as wide as the terminal, or as it needs to be off one."""
    print_rich(figures.rich())


def print_rich(shown: RenderableType) -> None:
    """Print what rich renders, as wide as the terminal, or as it needs to be off one."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else MACHINE_WIDTH).print(shown)
