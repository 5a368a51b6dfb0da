"""Options that several verbs share."""

from __future__ import annotations

import click

set_option = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Change one key; may be repeated."
)
quiet_option = click.option("--quiet", is_flag=True, help="No progress on stderr.")
