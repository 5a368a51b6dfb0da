"""Results on stdout: as JSON for machines, as text and tables for people."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from usrn_keras.report import Comparison

MACHINE_WIDTH = 1000  # columns off a terminal: no figure may be cut off there


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_table(comparison: Comparison) -> None:
    """Print a table of scores, as wide as the terminal, or as it needs to be off one."""
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else MACHINE_WIDTH).print(comparison.rich())
