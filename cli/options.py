"""Options shared by several commands."""

from __future__ import annotations

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
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    shell_complete=complete_setting,
    help="Recipe key to override; may be repeated.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Hide the progress on stderr.")
