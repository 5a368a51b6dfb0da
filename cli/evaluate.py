"""`usrn evaluate`: scores of trained runs, side by side."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import quiet_option
from usrn_cli.output import print_json, print_table


@click.command("evaluate", short_help="Scores of trained runs, side by side.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Choice(["usrn", "baseline"]),
    default=["usrn"],
    show_default=True,
    help="Which model of each run; may be repeated.",
)
@click.option(
    "--split", type=click.Choice(["val", "test"]), help="Which images.  [default: what the run's recipe says]"
)
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
@click.option("--json", "as_json", is_flag=True, help="The scores as JSON, with the confusion matrices.")
@quiet_option
def command(
    runs: tuple[Path, ...],
    models: tuple[str, ...],
    split: str | None,
    markdown: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """IoU of each class and mIoU of the runs in the folders RUNS, one column for each model.

    \b
    Examples:
      usrn evaluate runs/quickstart
      usrn evaluate runs/quickstart --model baseline --model usrn
      usrn evaluate runs/A runs/B --split test --markdown > table.md
      usrn evaluate runs/A --json | jq .runs[0].miou
    """
    if markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other")
    load_backend()
    from usrn_keras.evaluation import evaluate_run
    from usrn_keras.progress import for_terminal
    from usrn_keras.report import Comparison

    scores = []
    with for_terminal(quiet=quiet) as progress:
        for run in runs:
            for model in models:
                scored = evaluate_run(run, split=split, model=model, progress=progress)
                scores.append(scored.named(str(run) if models == ("usrn",) else f"{run} {model}"))
    comparison = Comparison(scores)
    if as_json:
        print_json(comparison.to_json())
    elif markdown:
        click.echo(comparison.markdown())
    else:
        print_table(comparison)
