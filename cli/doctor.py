"""`usrn doctor`: check machine and installation, and suggest changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.arguments import RECIPE
from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json, wrapped

if TYPE_CHECKING:
    from usrn_keras.doctor import DoctorReport

NAME_WIDTH = 26  # columns of the names of facts


@click.command("doctor", short_help="Check backends, devices and speed of this machine.")
@click.argument("recipe", required=False, type=RECIPE)
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
    """Check versions, backends, GPUs, cores, memory and disk, and suggest changes.

    With RECIPE, a TOML file or the name of a shipped recipe, also check its images and disk space, and
    time the input pipeline and a training step. No files are kept except the scenes of `quickstart`.

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


def _text(report: DoctorReport) -> list[str]:
    """Format the facts, notes, suggested changes and next commands in the width of the terminal."""
    lines = []
    for title, facts in report.sections.items():
        lines.append(title)
        for name, value in facts.items():
            if isinstance(value, dict):
                value = ", ".join(f"{key} {text or '(none)'}" for key, text in value.items())
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            lines += wrapped(f"  {name.replace('_', ' '):{NAME_WIDTH}}", shown or "none")
    by_level = {"notes": ["note"], "suggested changes": ["broken", "change"]}
    for title, levels in by_level.items():
        findings = [finding for finding in report.findings if finding.level in levels]
        lines.append(title if findings else f"{title}: none")
        for number, finding in enumerate(findings, start=1):
            lines += wrapped(f"  {number}. ", "BROKEN: " * (finding.level == "broken") + finding.message)
            lines += [row for line in finding.lines for row in wrapped("     - ", line)]
            lines += [f"     -> {line}" for line in finding.advice.splitlines()]
    return [*lines, "next", *(f"  {command}" for command in report.following)]
