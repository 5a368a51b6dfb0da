"""`usrn report`: create a page about a run."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import quiet_option
from usrn_cli.output import print_json


@click.command("report", short_help="Create a page with the scores, curves and pictures of a run.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the paths of the pages as JSON.")
@quiet_option
def command(runs: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Create report/index.html in the run folders RUNS: what the method gained and what it still misses,
    scores, confusion matrix, all measured images, losses, pseudo labels.

    \b
    Examples:
      usrn report runs/quickstart
      usrn report runs/A runs/B --quiet
      usrn report runs/A --json | jq -r .reports[0].path

    `usrn fit` creates the report when a run is complete; this command also works while a run is training.
    The page is a single file without scripts, which can be sent by mail and opened offline.
    """
    load_backend()
    from usrn_keras.progress import terminal_progress
    from usrn_keras.stages.report import report_runs

    with terminal_progress(quiet=quiet) as progress:
        paths = report_runs(runs, progress=progress)
    if as_json:
        found = zip(runs, paths, strict=True)
        print_json({"reports": [{"run": str(run), "path": str(path)} for run, path in found]})
    else:
        for path in paths:
            click.echo(path)
