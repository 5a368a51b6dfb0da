"""`usrn runs`: list, check and clean run folders."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from usrn_cli.output import print_json
from usrn_cli.suggestions import Group
from usrn_keras.errors import RunError

FOLDERS = click.argument("folders", nargs=-1, metavar="[FOLDER]...", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group("runs", cls=Group, short_help="List, check and clean run folders.")
def command() -> None:
    """Look after run folders. A FOLDER is a run or contains runs at any depth; by default it is runs/.

    \b
    Examples:
      usrn runs list
      usrn runs check runs/quickstart
      usrn runs clean runs --dry-run
    """


@command.command("list")
@FOLDERS
@JSON
def list_runs(folders: tuple[Path, ...], as_json: bool) -> None:
    """List runs with their method, complete stages, mIoU and size on disk.

    \b
    Examples:
      usrn runs list
      usrn runs list runs/tables experiments --json
    """
    from usrn_keras.runs.run_list import describe_run

    entries = [describe_run(path) for path in _found(folders)]
    if as_json:
        print_json([asdict(entry) | {"path": str(entry.path)} for entry in entries])
        return
    width = max(len(str(entry.path)) for entry in entries)
    for entry in entries:
        if entry.problem:
            click.echo(f"{entry.path!s:<{width}}  damaged: {entry.problem}")
            continue
        miou = "-" if entry.miou is None else f"{100 * entry.miou:.1f}"
        stages = f"{entry.complete}/{entry.stages} stages"
        click.echo(
            f"{entry.path!s:<{width}}  {entry.method:<18} {stages}  mIoU {miou:>5}  {_megabytes(entry.size)}"
        )


@command.command("check")
@FOLDERS
@JSON
def check(folders: tuple[Path, ...], as_json: bool) -> None:
    """Compare every product of complete stages with the size and SHA-256 recorded when it was written.

    \b
    Examples:
      usrn runs check
      usrn runs check runs/quickstart --json

    The exit code is 6 if a file is missing or has changed. `usrn fit` with the recipe of the run rebuilds
    what can be rebuilt.
    """
    from usrn_keras.errors import USRNError
    from usrn_keras.runs import open_run
    from usrn_keras.runs.run_list import damaged_products

    found: dict[str, list[str]] = {}
    for path in _found(folders):
        try:
            found[str(path)] = damaged_products(open_run(path))
        except USRNError as error:
            found[str(path)] = [error.message]
    if as_json:
        print_json([{"run": run, "damaged": lines} for run, lines in found.items()])
    else:
        for run, lines in found.items():
            click.echo(f"{run}  {'whole' if not lines else f'{len(lines)} damaged'}")
    if bad := {run: lines for run, lines in found.items() if lines}:
        raise RunError(
            f"{len(bad)} of {len(found)} runs have files that are missing or have changed",
            errors=[f"{run}: {line}" for run, lines in bad.items() for line in lines],
            hint="Rebuild what can be rebuilt: usrn fit RUN/recipe.toml --run RUN",
        )


@command.command("clean")
@FOLDERS
@click.option("--dry-run", is_flag=True, help="List what would be removed, and remove nothing.")
@JSON
def clean(folders: tuple[Path, ...], dry_run: bool, as_json: bool) -> None:
    """Remove what killed commands left, and stored features and scores of complete stages.

    Models, checkpoints, logs and reports are kept.

    \b
    Examples:
      usrn runs clean --dry-run
      usrn runs clean runs/quickstart
    """
    from usrn_keras.runs import open_run
    from usrn_keras.runs.run_list import clean_run

    results = [clean_run(open_run(path), dry_run=dry_run) for path in _found(folders)]
    if as_json:
        print_json(results)
        return
    for result in results:
        for path in result["removed"]:
            click.echo(path)
    word = "would be freed" if dry_run else "freed"
    click.echo(f"{_megabytes(sum(result['bytes'] for result in results))} {word}")


def _found(folders: tuple[Path, ...]) -> list[Path]:
    from usrn_keras.runs.run_list import find_runs

    asked = folders or (Path("runs"),)
    if missing := [str(folder) for folder in asked if not folder.is_dir()]:
        raise RunError(
            f"no such folder: {', '.join(missing)}", hint="Name a run folder, or one that has runs."
        )
    if not (found := find_runs(asked)):
        raise RunError(
            f"no run folder in {', '.join(map(str, asked))}",
            hint="`usrn fit RECIPE --run FOLDER` creates one.",
        )
    return found


def _megabytes(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"
