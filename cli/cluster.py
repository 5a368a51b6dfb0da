"""`usrn cluster`: create the subclasses of a run, and show them."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.arguments import RECIPE
from usrn_cli.backend import load_backend
from usrn_cli.options import pool_options, quiet_option, set_option, validate_pool
from usrn_cli.output import print_json, print_rich

if TYPE_CHECKING:
    from usrn_keras.recipe import Recipe
    from usrn_keras.stages import Clustered


@click.command("cluster", short_help="Split the classes into subclasses, and show them.")
@click.argument("run_or_recipe", type=RECIPE)
@set_option
@click.option(
    "--run",
    "run_dir",
    type=click.Path(path_type=Path),
    help="Run folder, if a recipe is given.  [default: runs/RECIPE]",
)
@click.option(
    "--montage", metavar="CLASS", help="Class to show patches of.  [default: class with most subclasses]"
)
@click.option("--no-plain", is_flag=True, help="Skip the comparison with plain k-means.")
@click.option(
    "--compare",
    is_flag=True,
    help="Cluster each class with every engine, balanced_kmeans, k_means_constrained and plain k-means, and "
    "print time, sum of squares, class balance rate and sizes.",
)
@pool_options
@quiet_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print the figures as JSON, including the size of every subclass."
)
def command(
    run_or_recipe: str,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    montage: str | None,
    no_plain: bool,
    compare: bool,
    workers: int | None,
    scheduler: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Train the Baseline, cluster its features into subclasses as `usrn fit` does, and show them.

    RUN_OR_RECIPE is a run folder, a TOML file, or the name of a shipped recipe.

    \b
    Examples:
      usrn cluster quickstart
      usrn cluster runs/quickstart --montage car
      usrn cluster camvid_1_8 --set data.root=camvid --run runs/camvid --no-plain
      usrn cluster runs/camvid --compare
      usrn cluster runs/camvid --workers 4
      usrn cluster runs/camvid --json | jq .class_balance_rate

    Completed stages are skipped, and their results are shown; `usrn fit` with the same recipe continues from
    here. Two pictures are written to report/ in the run folder: class_sizes.png, and patches of one class.
    --workers and --scheduler share the computation of features.
    """
    validate_pool(workers, scheduler)
    recipe, folder = _recipe_and_folder(run_or_recipe, overrides, run_dir)
    load_backend()
    if montage is not None:
        from usrn_keras.data import load_dataset

        _require_class(montage, load_dataset(recipe.data).classes)
    from usrn_keras.chunks import open_pool
    from usrn_keras.progress import terminal_progress
    from usrn_keras.stages import cluster_run

    options = {"plain": not no_plain, "compare": compare, "montage": montage}
    with open_pool(workers, scheduler) as pool, terminal_progress(quiet=quiet) as progress:
        clustered = cluster_run(recipe, folder, pool=pool, progress=progress, log=progress.log, **options)
    if as_json:
        print_json(clustered.to_json())
    else:
        _show(clustered)


def _recipe_and_folder(
    run_or_recipe: str, overrides: tuple[str, ...], run_dir: Path | None
) -> tuple[Recipe, Path]:
    """Return the recipe and the run folder."""
    from usrn_keras.recipe import load_recipe

    path = Path(run_or_recipe)
    if _means_a_run(path):
        return _recipe_of_run(path, overrides, run_dir), path
    recipe = load_recipe(run_or_recipe, list(overrides))
    return recipe, run_dir or Path("runs") / recipe.name


def _means_a_run(path: Path) -> bool:
    """Whether a path means a run: a folder not named like a shipped recipe, or a missing `runs/NAME`."""
    from usrn_keras.recipe.shipped import RECIPES

    if (path / "dataset.json").exists():
        return True
    if path.is_file() or RECIPES.name_of(str(path)):
        return False
    return path.is_dir() or (len(path.parts) > 1 and path.suffix != ".toml")


def _recipe_of_run(path: Path, overrides: tuple[str, ...], run_dir: Path | None) -> Recipe:
    if overrides or run_dir:
        given = "--set" if overrides else "--run"
        raise click.UsageError(
            f"{given} is allowed only with a recipe, but {path} is a run folder. "
            f"Use: usrn cluster {path / 'recipe.toml'} --run {path} ..."
        )
    load_backend()  # opening a run imports Keras
    from usrn_keras.runs import open_run

    return open_run(path).recipe


def _require_class(name: str, classes: Sequence[str]) -> None:
    if name in classes:
        return
    near = difflib.get_close_matches(name, classes, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(map(repr, near))}?" if near else f"allowed: {', '.join(classes)}"
    raise click.BadParameter(f"no class {name!r}; {advice}", param_hint="--montage")


def _show(clustered: Clustered) -> None:
    from usrn_keras.report.cluster_report import cluster_table

    print_rich(cluster_table(clustered.report))
    if clustered.engines is not None:
        from usrn_keras.report.engine_table import engine_table

        print_rich(engine_table(clustered.engines))
    click.echo(clustered.report.rate_line())
    click.echo(clustered.report.time_line())
    for path in clustered.pictures.values():
        click.echo(f"picture: {path}")
    click.echo(f"run folder: {clustered.run}")
