"""`usrn table`: train and compare the rows of a table over seeds and splits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from usrn_cli.arguments import RECIPE, TABLE
from usrn_cli.backend import load_backend, require_backend
from usrn_cli.completion import complete_splits
from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json, print_rich

if TYPE_CHECKING:
    from usrn_keras.sweeps.plan import Plan
    from usrn_keras.sweeps.result import TableResult


class Seeds(click.ParamType):
    """Comma-separated integers, such as 0,1,2."""

    name = "seeds"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            seeds = tuple(int(part) for part in value.split(","))
        except ValueError:
            seeds = ()
        if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
            what = "must be distinct non-negative integers, comma-separated, such as 0,1,2"
            self.fail(f"{what}, received {value!r}", param, ctx)
        return seeds


@click.command("table", short_help="Train and compare the rows of a table over seeds and splits.")
@click.argument("name", type=TABLE)
@click.argument("recipe", required=False, type=RECIPE)
@click.option(
    "--seeds",
    type=Seeds(),
    metavar="0,1,2",
    help="Seeds to average over, comma-separated.  [default: defined by the table, usually 0]",
)
@click.option(
    "--splits",
    metavar="1_16,1_8",
    shell_complete=complete_splits,
    help="Values of data.split, comma-separated.  [default: defined by the table]",
)
@click.option(
    "--equal",
    type=click.Choice(["steps", "compute"]),
    default="steps",
    show_default=True,
    help="What all methods have in common after the Baseline: their steps, or their operations.",
)
@set_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Folder of the runs, shared by all tables of a recipe.  [default: runs/tables/RECIPE]",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of parallel runs, each on its own GPU as far as there are as many.",
)
@click.option("--dry-run", is_flag=True, help="List the runs with their estimated time; do not train.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON, with every seed and class.")
@click.option("--markdown", is_flag=True, help="Print the table in Markdown.")
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print one CSV line per figure and run; shares are in 0..1."
)
@quiet_option
def command(name: str, recipe: str | None, **options: Any) -> None:
    """Train the missing runs of the table NAME on RECIPE, and print the table.

    NAME is main, components, clustering, sharing, threshold, architectures, gate, start, controls or
    quickstart, or your own table file; RECIPE is a TOML file, or the name of a shipped recipe. A table that
    names its recipe, as quickstart does, needs none.

    \b
    Examples:
      usrn table quickstart
      usrn table main camvid_1_8 --set data.root=data/camvid --seeds 0,1,2
      usrn table components my_recipe.toml --dry-run
      usrn table components my_recipe.toml --seeds 0,1,2 --jobs 2
      usrn table threshold my_recipe.toml --set usrn.gate=stop --markdown > t.md
      usrn table my_table.toml my_recipe.toml --json | jq .rows[0].over_seeds.miou

    Runs share stages: all rows of a seed use one Baseline and one clustering. Run the same command again to
    resume; completed runs are skipped. A failed run leaves an empty cell, and the others continue.

    The command writes table.json, table.md, table.csv, index.html and comparison.png (a few images with the
    predictions of all rows) to FOLDER/tables/NAME.
    """
    formats = [option for option in ("as_json", "markdown", "as_csv") if options[option]]
    if len(formats) > 1:
        raise click.UsageError("--json, --markdown and --csv cannot be combined")
    from usrn_keras.sweeps.spec import load_table

    spec = load_table(name)
    recipe = recipe or spec.recipe
    if not recipe:
        raise click.UsageError(f"Missing argument 'RECIPE': the table {name} can be trained on any recipe.")
    backend = require_backend()
    # This process does not train; it must not reserve GPU memory that the training processes need.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    load_backend()
    from usrn_keras.sweeps.plan import make_plan

    plan = make_plan(
        spec, recipe, options["overrides"], seeds=options["seeds"] or spec.seeds,
        splits=[split for split in (options["splits"] or "").split(",") if split],
        equal=options["equal"], backend=backend,
    )  # fmt: skip
    folder = options["folder"] or Path("runs") / "tables" / plan.recipe
    if options["dry_run"]:
        _show_outline(plan, folder, options)
    else:
        _make(plan, folder, options)


def _show_outline(plan: Plan, folder: Path, options: dict[str, Any]) -> None:
    from usrn_keras.sweeps.outline import make_outline
    from usrn_keras.sweeps.render import outline_as_json, outline_as_rich

    outline = make_outline(plan, folder, jobs=options["jobs"], measure=True)
    if options["as_json"]:
        print_json(outline_as_json(outline))
    else:
        print_rich(outline_as_rich(outline))


def _make(plan: Plan, folder: Path, options: dict[str, Any]) -> None:
    from usrn_keras.errors import IncompleteTableError
    from usrn_keras.progress import terminal_progress
    from usrn_keras.sweeps.sweep import make_table, table_folder

    with terminal_progress(quiet=options["quiet"]) as progress:
        result = make_table(plan, folder, jobs=options["jobs"], progress=progress)
        progress.log(f"written: {table_folder(plan, folder)}")
    _show(result, options)
    if result.gaps:
        raise IncompleteTableError(
            f"{len(result.gaps)} of {len(result.plan.cells)} cells have no value",
            errors=[f"{name}: {why}" for name, why in result.failures.items()],
            hint="Fix the cause and run the same command again; completed runs are kept.",
        )


def _show(result: TableResult, options: dict[str, Any]) -> None:
    from usrn_keras.sweeps import render

    if options["as_json"]:
        print_json(render.as_json(result))
    elif options["markdown"]:
        click.echo(render.as_markdown(result))
    elif options["as_csv"]:
        click.echo(render.as_csv(result), nl=False)
    else:
        print_rich(render.as_rich(result))
