"""`usrn fit`: train the stages of a recipe."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.arguments import RECIPE
from usrn_cli.backend import load_backend
from usrn_cli.options import devices_option, quiet_option, set_option
from usrn_cli.output import print_json, print_rich
from usrn_cli.processes import start_processes

if TYPE_CHECKING:
    from usrn_keras.recipe import Recipe


@click.command("fit", short_help="Train the Baseline and the method of a recipe.")
@click.argument("recipe", type=RECIPE)
@set_option
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run folder.  [default: runs/RECIPE]",
)
@click.option(
    "--reuse",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Run whose completed stages are reused if this recipe would train the same; may be repeated.",
)
@devices_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Do not train; measure one or two small steps, and estimate memory, time and batch sizes that fit.",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    recipe: str,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    reuse: tuple[Path, ...],
    devices: str,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train the stages of RECIPE, and evaluate the models.

    RECIPE is a TOML file, or the name or path of a shipped recipe: quickstart or recipes/quickstart.toml.

    The method that training.method names says which stages these are: the Baseline, subclasses if it needs
    them, and its own training.

    \b
    Examples:
      usrn fit quickstart
      usrn fit camvid_1_8 --set data.root=data/camvid --run runs/camvid
      usrn fit my.toml --set training.usrn_steps=2000 --set views.crop_size=256
      KERAS_BACKEND=jax usrn fit quickstart
      usrn fit my.toml --set usrn.gate=stop --run runs/stop --reuse runs/my
      usrn fit voc_1_32 --dry-run
      KERAS_BACKEND=jax usrn fit cityscapes_1_16 --devices 4

    Run the same command again to resume; completed stages are skipped.
    """
    from usrn_keras.ranks import claim_gpu
    from usrn_keras.recipe import load_recipe

    loaded = load_recipe(recipe, list(overrides))
    if not dry_run:
        start_processes(devices)
        claim_gpu()
    load_backend()
    folder = run_dir or Path("runs") / loaded.name
    if dry_run:
        _show_budget(loaded, folder, as_json)
    else:
        _train(loaded, folder, reuse, devices, quiet, as_json)


def _train(
    recipe: Recipe, folder: Path, reuse: tuple[Path, ...], devices: str, quiet: bool, as_json: bool
) -> None:
    from usrn_keras.metrics import Scores
    from usrn_keras.progress import terminal_progress
    from usrn_keras.report import Comparison, comparison_table
    from usrn_keras.stages import fit

    with terminal_progress(quiet=quiet) as progress:
        results = fit(recipe, folder, reuse=reuse, devices=devices, progress=progress, log=progress.log)
    if not results:  # one of several processes, of which the first one shows them
        return
    if as_json:
        print_json(results)
    else:
        comparison = Comparison([Scores.from_json(scores) for scores in results["scores"]])
        print_rich(comparison_table(comparison))
        click.echo(f"run folder: {folder}")


def _show_budget(recipe: Recipe, folder: Path, as_json: bool) -> None:
    from usrn_keras.stages.dry_run import dry_run

    budget = dry_run(recipe, folder)
    if as_json:
        print_json(asdict(budget))
    else:
        from usrn_cli.dry_run_tables import budget_tables

        print_rich(budget_tables(budget))
