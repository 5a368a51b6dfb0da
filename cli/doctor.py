"""`usrn doctor`: check machine and installation, and suggest changes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json

if TYPE_CHECKING:
    from usrn_keras.doctor import DoctorFinding, DoctorReport

MAX_LINES = 20  # shown details of a finding


@click.command("doctor", short_help="Check backends, devices and speed of this machine.")
@click.argument("recipe", required=False)
@set_option
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run folder whose disk is checked.  [default: runs/RECIPE]",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole report as JSON.")
def command(
    recipe: str | None, overrides: tuple[str, ...], run_dir: Path | None, quiet: bool, as_json: bool
) -> None:
    """Check backends, GPUs, precision, cores, memory, disk and input pipeline, and suggest changes.

    With RECIPE, a TOML file or the name of a shipped recipe, also check its images and disk space, and
    time a training step. No files are kept except the scenes of `quickstart`.

    \b
    Examples:
      usrn doctor
      usrn doctor my_recipe.toml
      KERAS_BACKEND=torch usrn doctor camvid_1_8 --set data.root=data/camvid
      usrn doctor --json | jq '.findings[] | select(.level != "note")'

    The exit code is 0 if training can run, otherwise that of the error that would stop it, such as
    7 for a backend that cannot be loaded.
    """
    from usrn_keras.doctor import diagnose
    from usrn_keras.progress import terminal_progress

    if overrides and recipe is None:
        raise click.UsageError("--set overrides keys of a recipe: name a recipe")
    with terminal_progress(quiet=quiet) as progress:
        diagnosis = diagnose(recipe, overrides, run_dir, progress=progress)
    if as_json:
        print_json(diagnosis.to_json())
    else:
        click.echo("\n".join(_text(diagnosis)))
    if diagnosis.error:
        raise diagnosis.error


def _text(diagnosis: DoctorReport) -> list[str]:
    """Format the sections, notes, suggested changes and next commands."""
    lines = []
    for section in diagnosis.sections.values():
        lines += [section.title, *(f"  {line}" for line in section.lines)]
    changes = [finding for finding in diagnosis.findings if finding.error or finding.level == "change"]
    notes = [finding for finding in diagnosis.findings if finding not in changes]
    lines += ["notes", *_listed(notes)] if notes else []
    lines += ["suggested changes", *_listed(changes)] if changes else ["suggested changes: none"]
    return [*lines, "next", *(f"  {command}" for command in diagnosis.following)]


def _listed(findings: Sequence[DoctorFinding]) -> list[str]:
    lines = []
    for number, finding in enumerate(findings, start=1):
        lines.append(f"  {number}. {'BROKEN: ' * bool(finding.error)}{finding.message}")
        lines += [f"     - {line}" for line in finding.lines[:MAX_LINES]]
        if len(finding.lines) > MAX_LINES:
            lines.append(f"     - and {len(finding.lines) - MAX_LINES} more; --json lists all")
        first, *rest = finding.advice.splitlines() or [""]
        lines += [f"     -> {first}", *(f"        {line}" for line in rest)] if first else []
    return lines
