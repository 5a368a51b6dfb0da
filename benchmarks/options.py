"""Options that several benchmarks share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import machine


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Add --csv and --commit, which `table.publish` needs."""
    parser.add_argument("--csv", type=Path, help="append rows to this file")
    parser.add_argument("--commit", help="commit that is measured; default: that of the git checkout")


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    parser.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        default=machine.default_device(),
        help="default: gpu if the driver shows one",
    )


def names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """A `type` of argparse for comma-separated names.

    Args:
        allowed: The names that are allowed.
    """

    def parse(text: str) -> list[str]:
        found = text.split(",")
        if unknown := [name for name in found if name not in allowed]:
            raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; allowed: {', '.join(allowed)}")
        return found

    return parse
