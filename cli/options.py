"""Options shared by several commands."""

from __future__ import annotations

import click

from usrn_cli.completion import complete_setting

set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    shell_complete=complete_setting,
    help="Recipe key to override; may be repeated.",
)
quiet_option = click.option("--quiet", is_flag=True, help="Hide the progress on stderr.")
