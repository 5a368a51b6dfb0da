"""`usrn evaluate`: scores of trained runs, and of masks of other tools, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from usrn_cli.arguments import RECIPE
from usrn_cli.backend import load_backend
from usrn_cli.completion import complete_model
from usrn_cli.options import pool_options, quiet_option, set_option, validate_pool
from usrn_cli.output import print_json, print_rich
from usrn_cli.suggestions import Choice

if TYPE_CHECKING:
    from usrn_keras.recipe import Recipe
    from usrn_keras.report import Comparison

FOR_RUNS = {"models": "--model", "checkpoints": "--checkpoint"} | {
    name: f"--{name}" for name in ("mode", "flip", "scales", "workers", "scheduler")
}
"""Options that say nothing about masks of other tools, by parameter."""

FOLDER = click.Path(path_type=Path)


class Scales(click.ParamType):
    """Numbers above 0 between commas, such as 0.5,1.0,1.5."""

    name = "scales"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            scales = tuple(float(part) for part in value.split(","))
        except ValueError:
            scales = ()
        if not scales or not all(0 < scale < float("inf") for scale in scales):
            self.fail(f"{value!r} must be numbers above 0 between commas, such as 0.5,1.0,1.5", param, ctx)
        return scales


@click.command("evaluate", short_help="Scores of trained runs, side by side.")
@click.argument("runs", nargs=-1, type=FOLDER)
@click.option(
    "--split", type=Choice(["val", "test"]), help="Which images.  [default: what the run's recipe says]"
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_model,
    help="Model of each run, such as baseline or the name of its method; may be repeated.  "
    "[default: the last one]",
)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=Choice(["last", "best"]),
    help="Which weights; may be repeated.  [default: the recipe's]",
)
@click.option(
    "--mode",
    type=Choice(["whole", "slide"]),
    help="Whole images, or windows that slide over them.  [default: the recipe's]",
)
@click.option(
    "--flip/--no-flip", default=None, help="Average with the mirrored image.  [default: the recipe's]"
)
@click.option(
    "--scales",
    type=Scales(),
    metavar="0.5,1.0,...",
    help="Average over these sizes.  [default: the recipe's]",
)
@click.option(
    "--predictions",
    multiple=True,
    type=FOLDER,
    metavar="DIR",
    help="Score masks (PNG, named as the images) of any tool too; may be repeated.",
)
@click.option(
    "--recipe",
    type=RECIPE,
    metavar="RECIPE",
    help="Whose data set --predictions belong to, where there is no run.",
)
@set_option
@click.option(
    "--report",
    type=FOLDER,
    metavar="DIR",
    help="Where pictures and confusion matrices go.  [default: report/ in each run]",
)
@click.option("--no-report", is_flag=True, help="Write no files.")
@pool_options
@click.option("--json", "as_json", is_flag=True, help="The scores as JSON, with the confusion matrices.")
@click.option("--markdown", is_flag=True, help="The table in Markdown.")
@click.option("--csv", "as_csv", is_flag=True, help="The table as CSV, fractions in 0..1.")
@quiet_option
@click.pass_context
def command(ctx: click.Context, **options: Any) -> None:
    """IoU of each class and mIoU of the runs in the folders RUNS, one column for each model.

    \b
    Examples:
      usrn evaluate runs/quickstart
      usrn evaluate runs/quickstart --model baseline --model usrn
      usrn evaluate runs/A runs/B --split test --markdown > table.md
      usrn evaluate runs/A --mode slide --flip --scales 0.5,1.0,1.5
      usrn evaluate runs/A --predictions others/val --report comparison
      usrn evaluate --predictions others/val --recipe my_recipe.toml
      usrn evaluate runs/A --workers 4
      usrn evaluate runs/A --json | jq .runs[0].miou

    Classes are sorted by their share of the pixels; all means are over all pixels of all images, never
    over images. Under the table stands what was measured: images, lists, mode, checkpoint.

    Each run gets report/confusion_MODEL_SPLIT.png and .csv, worst_MODEL_SPLIT.png and scores.json. With
    --report, all files are in one folder, and comparison.png shows a few images with all predictions.
    """
    _refuse_contradictions(options)
    recipe = _recipe(options)
    load_backend()
    from usrn_keras.chunks import open_pool
    from usrn_keras.evaluation.entries import prepare_entries
    from usrn_keras.evaluation.report_files import write_reports
    from usrn_keras.progress import terminal_progress
    from usrn_keras.report import Comparison

    with (
        open_pool(options["workers"], options["scheduler"]) as pool,
        terminal_progress(quiet=options["quiet"]) as progress,
    ):
        entries = prepare_entries(
            options["runs"],
            options["predictions"],
            recipe=recipe,
            models=options["models"] or (None,),
            checkpoints=options["checkpoints"] or (None,),
            split=options["split"],
            inference={key: options[key] for key in ("mode", "flip", "scales")},
            pool=pool,
            progress=progress,
        )
        measured = [(entry, entry.measure(progress)) for entry in entries]
    _show(Comparison([its.scores for _, its in measured]), options)
    if not options["no_report"]:
        with terminal_progress(quiet=options["quiet"]) as progress:
            for path in write_reports(measured, options["report"]):
                progress.log(f"written: {path}")


def _refuse_contradictions(options: dict[str, Any]) -> None:
    """What click cannot see in a single option."""
    formats = [option for option in ("as_json", "markdown", "as_csv") if options[option]]
    if len(formats) > 1:
        raise click.UsageError("--json, --markdown and --csv exclude each other")
    if options["report"] and options["no_report"]:
        raise click.UsageError("--report and --no-report exclude each other")
    validate_pool(options["workers"], options["scheduler"])
    if options["runs"]:
        if options["recipe"] or options["overrides"]:
            given = "--recipe" if options["recipe"] else "--set"
            raise click.UsageError(f"{given} is for --predictions without a run: RUNS have their recipes")
        return
    if not options["predictions"]:
        raise click.UsageError("nothing to measure: name the folder of a run, or --predictions and --recipe")
    if not options["recipe"]:
        raise click.UsageError("--predictions need the data set of a run or of --recipe")
    for_runs = [key for key in FOR_RUNS if options[key]]
    if for_runs:
        named = ", ".join(FOR_RUNS[key] for key in for_runs)
        raise click.UsageError(f"{named}: only for RUNS; masks are scored as they are")


def _recipe(options: dict[str, Any]) -> Recipe | None:
    if not options["recipe"]:
        return None
    from usrn_keras.recipe import load_recipe

    return load_recipe(options["recipe"], list(options["overrides"]))


def _show(comparison: Comparison, options: dict[str, Any]) -> None:
    from usrn_keras.report import comparison_csv, comparison_markdown, comparison_table

    if options["as_json"]:
        print_json(comparison.to_json())
    elif options["markdown"]:
        click.echo(comparison_markdown(comparison))
    elif options["as_csv"]:
        click.echo(comparison_csv(comparison), nl=False)
    else:
        print_rich(comparison_table(comparison))
