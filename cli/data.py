"""`usrn data`: check a data set, and show its training views."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.arguments import RECIPE
from usrn_cli.backend import load_backend
from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json, print_table
from usrn_cli.suggestions import Group
from usrn_keras.errors import DataError, StorageError

if TYPE_CHECKING:
    from usrn_keras.evaluation.label_errors import SuspiciousLabel
    from usrn_keras.inspection import Inspection
    from usrn_keras.progress import Progress


@click.group("data", cls=Group, short_help="Check a data set, or show its training views.")
def command() -> None:
    """Inspect the data set of a recipe before training.

    \b
    Examples:
      usrn data check my_recipe.toml
      usrn data show my_recipe.toml
    """


@command.command("check")
@click.argument("recipe", type=RECIPE)
@set_option
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, dir_okay=False),
    help="With a run: PNG file of the possible label errors.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 1),
    default=0.9,
    show_default=True,
    help="With a run: probability from which the model contradicts a label.",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, including every finding.")
def check(
    recipe: str,
    overrides: tuple[str, ...],
    pictures: Path | None,
    confidence: float,
    quiet: bool,
    as_json: bool,
) -> None:
    """Read the images and masks of RECIPE, and report all errors at once, the classes and the splits.

    RECIPE is a TOML file, the name of a shipped recipe, or the folder of a run: then regions of labels that
    its model contradicts with confidence are listed, too, as possible label errors. Masks of unlabelled
    images are not read. No files are written except --pictures and the scenes of `quickstart`.

    \b
    Examples:
      usrn data check my_recipe.toml
      usrn data check camvid_1_8 --set data.root=data/camvid --set data.workers=8
      usrn data check my.toml --json | jq '.findings[] | select(.fault) | .files'
      usrn data check runs/first --pictures label_errors.png

    With errors, which must be fixed, the exit code is 4. With notes only, it is 0.
    """
    from usrn_keras.inspection import inspect_data
    from usrn_keras.progress import terminal_progress
    from usrn_keras.recipe import load_recipe

    run = Path(recipe) if (Path(recipe) / "recipe.toml").is_file() else None
    if pictures and not run:
        raise click.BadParameter(f"needs the folder of a run, received {recipe}", param_hint="--pictures")
    loaded = load_recipe(str(run / "recipe.toml") if run else recipe, list(overrides))
    with terminal_progress(quiet=quiet) as progress:
        inspection = inspect_data(loaded, progress=progress)
        suspicious = (
            _label_errors(run, pictures, confidence, progress) if run and not inspection.errors else []
        )
    if as_json:
        found = {"label_errors": [one.to_json() for one in suspicious]} if run else {}
        print_json(inspection.to_json() | found)
    else:
        _show(inspection)
        for one in suspicious:
            click.echo(f"possible label error: {one.line()}")
        if run and inspection.errors:
            click.echo("possible label errors are searched for once these errors are fixed")
        elif run and not suspicious:
            click.echo("no label is contradicted by the model with confidence")
    if inspection.errors:
        raise DataError(
            f"{_counted(inspection)} in the data set of {loaded.name}",
            hint="Fix them and run `usrn data check` again.",
        )


@command.command("show")
@click.argument("recipe", type=RECIPE)
@set_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Output file (.png).  [default: RECIPE_views.png]",
)
@click.option(
    "--images",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Number of labelled and of unlabelled images.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the views.  [default: training.seed]")
@click.option("--force", is_flag=True, help="Replace an existing output file.")
def show(
    recipe: str, overrides: tuple[str, ...], out: Path | None, images: int, seed: int | None, force: bool
) -> None:
    """Draw the first training views of RECIPE, with their classes.

    RECIPE is a TOML file, or the name of a shipped recipe.

    \b
    Examples:
      usrn data show my_recipe.toml
      usrn data show quickstart --images 8 --seed 3 --out views.png
      usrn data show my_recipe.toml --set views.crop_size=256 --force

    Labelled views are drawn without and with their masks, unlabelled views weakly and strongly augmented.
    Check that the classes match the objects, and that objects are large enough to be recognised.
    """
    from usrn_keras.recipe import load_recipe

    if seed is not None:
        overrides = (*overrides, f"training.seed={seed}")
    loaded = load_recipe(recipe, list(overrides))
    target = out or Path(f"{loaded.name}_views.png")
    if target.suffix.lower() != ".png":
        raise click.BadParameter(f"must end in .png, received {target}", param_hint="--out")
    if target.exists() and not force:
        raise StorageError(
            f"{target} exists already", hint="Choose another file with --out, or replace it with --force."
        )
    load_backend()
    from usrn_keras.files import atomic_path
    from usrn_keras.inspection.contact_sheet import views_png

    picture = views_png(loaded, images)
    with atomic_path(target) as temporary:
        temporary.write_bytes(picture)
    click.echo(target)


def _label_errors(
    run: Path, pictures: Path | None, confidence: float, progress: Progress
) -> list[SuspiciousLabel]:
    load_backend()
    from usrn_keras.evaluation.label_errors import find_label_errors
    from usrn_keras.files import atomic_path

    found, sheet = find_label_errors(run, confidence=confidence, progress=progress)
    if pictures and found:
        with atomic_path(pictures) as temporary:
            temporary.write_bytes(sheet)
    return found


def _show(inspection: Inspection) -> None:
    from usrn_keras.inspection.census_tables import ClassTable, SplitTable
    from usrn_keras.inspection.data_findings import ERRORS, NOTES, listing

    found = {finding.kind for finding in inspection.findings}
    for kinds, colour in ((ERRORS, "red"), (NOTES, "yellow")):
        for kind in filter(found.__contains__, kinds):
            title, *lines = listing(inspection.findings, kind)
            click.echo(click.style(f"{'error' if kind in ERRORS else 'note'}: {title}", fg=colour))
            click.echo("\n".join(lines))
    if not inspection.readings:
        return  # nothing to tabulate
    print_table(ClassTable(inspection))
    print_table(SplitTable(inspection))
    rate = inspection.class_balance_rate
    if rate is not None:
        click.echo(
            f"class balance rate of the labelled pixels: {rate:.3f} (1: all classes have the same size)"
        )
    if not inspection.errors:
        click.echo(f"{_counted(inspection)} in the data set of {inspection.name}")


def _counted(inspection: Inspection) -> str:
    errors, notes = len(inspection.errors), len(inspection.notes)
    return f"{errors or 'no'} error{'s' * (errors != 1)} and {notes or 'no'} note{'s' * (notes != 1)}"
