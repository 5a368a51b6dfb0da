"""`usrn doctor`: what this machine and this installation can do for training, and what to change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json

if TYPE_CHECKING:
    from usrn_keras.doctor import DoctorFinding, DoctorReport

MOST_LINES = 20  # details of a finding that are shown


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

    With RECIPE, a TOML file or the name of a shipped recipe, its images and space, too, and the time of a
    training step. Nothing stays on the disk but the scenes of `quickstart`.

    \b
    Examples:
      usrn doctor
      usrn doctor my_recipe.toml
      KERAS_BACKEND=torch usrn doctor camvid_1_8 --set data.root=data/camvid
      usrn doctor --json | jq '.findings[] | select(.level != "note")'

    The exit code is 0 where training can run, whatever should be changed; otherwise that of the error which
    training would stop with, such as 7 for a backend that cannot be loaded.
    """
    from usrn_keras.doctor import diagnose
    from usrn_keras.progress import terminal_progress

    if overrides and recipe is None:
        raise click.UsageError("--set changes keys of a recipe: name one")
    with terminal_progress(quiet=quiet) as progress:
        diagnosis = diagnose(recipe, overrides, run_dir, progress=progress)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        click.echo("\n".join(_text(diagnosis)))
    if diagnosis.error:
        raise diagnosis.error


def _text(diagnosis: DoctorReport) -> list[str]:
    """The sections, then what is worth knowing, what to change, and what to do next."""
    lines = []
    for section in diagnosis.sections.values():
        lines += [section.title, *(f"  {line}" for line in section.lines)]
    changes = [finding for finding in diagnosis.findings if finding.error or finding.level == "change"]
    notes = [finding for finding in diagnosis.findings if finding not in changes]
    lines += ["worth knowing", *_listed(notes)] if notes else []
    lines += ["what to change", *_listed(changes)] if changes else ["what to change: nothing"]
    return [*lines, "next", *(f"  {command}" for command in diagnosis.following)]


def _listed(findings: Sequence[DoctorFinding]) -> list[str]:
    lines = []
    for number, finding in enumerate(findings, start=1):
        lines.append(f"  {number}. {'BROKEN: ' * bool(finding.error)}{finding.message}")
        lines += [f"     - {line}" for line in finding.lines[:MOST_LINES]]
        if len(finding.lines) > MOST_LINES:
            lines.append(f"     - and {len(finding.lines) - MOST_LINES} more; --json lists all")
        first, *rest = finding.advice.splitlines() or [""]
        lines += [f"     -> {first}", *(f"        {line}" for line in rest)] if first else []
    return lines
