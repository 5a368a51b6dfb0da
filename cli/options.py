"""Options shared by several commands."""

from __future__ import annotations

from collections.abc import Callable

import click

from usrn_cli.completion import complete_setting


class Devices(click.ParamType):
    """A number of devices, or `all`."""

    name = "devices"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value != "all" and not (value.isdigit() and int(value) > 0):
            self.fail(f"must be a positive number or 'all', received {value!r}", param, ctx)
        return value


devices_option = click.option(
    "--devices",
    type=Devices(),
    default="1",
    show_default=True,
    metavar="N|all",
    help="Devices to train on; each computes a part of every batch. See docs/devices.md.",
)


def pool_options(function: Callable) -> Callable:
    """Add `--workers` and `--scheduler`."""
    workers = click.option(
        "--workers",
        type=click.IntRange(min=1),
        metavar="N",
        help="Share the images among N processes of this machine. Needs the extra dask.",
    )
    scheduler = click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Share the images among the workers of a Dask scheduler, such as tcp://h0:8786.",
    )
    return workers(scheduler(function))


def validate_pool(workers: int | None, scheduler: str | None) -> None:
    """Raise a `UsageError` if both are given."""
    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers and --scheduler exclude each other")


set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    shell_complete=complete_setting,
    help="Recipe key to override; may be repeated.",
)
mode_option = click.option(
    "--mode",
    type=click.Choice(["whole", "slide"]),
    help="Whole images, or windows that slide over them, which need the least memory.  [default: the "
    "recipe's]",
)
quiet_option = click.option("--quiet", is_flag=True, help="Hide the progress on stderr.")
