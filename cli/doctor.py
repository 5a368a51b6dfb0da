"""`usrn doctor`: what this machine and this installation can do for training, and what to change."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json


@click.command("doctor", short_help="Look at this machine: backends, devices, speed, and what to change.")
@click.argument("recipe", required=False)
@set_option
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Folder where the run will be.  [default: runs/ and the recipe's name]",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON.")
def command(
    recipe: str | None, overrides: tuple[str, ...], run_dir: Path | None, quiet: bool, as_json: bool
) -> None:
    """Look at backends, GPUs, precision, cores, memory, disk and input pipeline, and say what to change.

    With RECIPE, a TOML file or the name of a shipped recipe, its images, views, weights and space, too.
    Nothing is trained, and nothing stays on the disk but the scenes of `quickstart`.

    \b
    Examples:
      usrn doctor
      usrn doctor my_recipe.toml
      KERAS_BACKEND=torch usrn doctor camvid_1_8 --set data.root=data/camvid
      usrn doctor --json | jq '.findings[] | select(.level != "note")'

    The exit code is 0 where training can run, whatever should be changed; else that of the error which
    training would stop with, such as 7 for a backend that cannot be loaded.
    """
    from usrn_keras.doctor import Request, diagnose
    from usrn_keras.progress import for_terminal

    if overrides and recipe is None:
        raise click.UsageError("--set changes keys of a recipe: name one")
    with for_terminal(quiet=quiet) as progress:
        diagnosis = diagnose(Request(recipe, overrides, run_dir), progress=progress)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        click.echo("\n".join(diagnosis.lines()))
    if diagnosis.error:
        raise diagnosis.error
