"""`usrn split`: draw a random split of a data set."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.arguments import RECIPE
from usrn_cli.options import quiet_option, set_option
from usrn_cli.output import print_json

if TYPE_CHECKING:
    from usrn_keras.data.random_split import Share
    from usrn_keras.data.split import SplitResult


class ShareType(click.ParamType):
    """Share of the images, such as `1/8` or `0.125`, or their number, such as `46`."""

    name = "share"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Share:
        from usrn_keras.data.random_split import Share

        try:
            return Share(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SHARE = ShareType()


@click.command("split", short_help="Draw a random split into labelled and unlabelled images.")
@click.argument("recipe", type=RECIPE)
@set_option
@click.option(
    "--labelled",
    type=SHARE,
    metavar="SHARE",
    required=True,
    help="Labelled images, as a share of the training images with masks (1/8 or 0.125) or as a number.",
)
@click.option(
    "--val",
    type=SHARE,
    metavar="SHARE",
    help="Validation images, drawn first from the same images.  [default: unchanged]",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the random split."
)
@click.option("--cover-classes", is_flag=True, help="Require that the labelled images show every class.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Output folder of the lists.  [default: splits/SHARE_seedN in the data set's folder]",
)
@click.option("--force", is_flag=True, help="Replace an existing split in that folder.")
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print folder, keys, counts and fingerprint as JSON.")
def command(
    recipe: str,
    overrides: tuple[str, ...],
    labelled: Share,
    val: Share | None,
    seed: int,
    cover_classes: bool,
    out: Path | None,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Draw at random which training images are labelled, and write the lists for data.split.

    RECIPE is a TOML file or the name of a shipped recipe. Labelled images are drawn from all its training
    images that have masks; all others are unlabelled. Its validation and test images are kept.

    \b
    Examples:
      usrn split my.toml --labelled 1/8
      usrn split my.toml --labelled 50 --val 0.2 --cover-classes
      usrn split my.toml --labelled 1/8 --seed 7 --out lists/seed_7
      usrn split camvid_1_8 --set data.root=data/camvid --labelled 1/4 --seed 7

    The same seed gives the same images on every machine, and a larger share contains the smaller ones.
    """
    from usrn_keras.data.split import SplitRequest, make_split
    from usrn_keras.progress import terminal_progress
    from usrn_keras.recipe import load_recipe

    loaded = load_recipe(recipe, list(overrides))
    request = SplitRequest(labelled, val, seed, cover_classes)
    with terminal_progress(quiet=quiet) as progress:
        made = make_split(loaded.data, request, out, recipe=loaded.name, force=force, progress=progress)
    if as_json:
        print_json(made.to_json())
    else:
        _show(made)


def _show(made: SplitResult) -> None:
    for part, count in made.counts.items():
        click.echo(f"{part:<11} {count:>6} images")
    if made.pixels is not None:
        _show_pixels(made)
    click.echo(f"fingerprint {made.dataset.fingerprint()}")
    click.echo(f"lists       {made.folder}")
    click.echo(f"options     {' '.join(_set(key, value) for key, value in made.keys.items())}")


def _show_pixels(made: SplitResult) -> None:
    everything, labelled = made.pixels / made.pixels.sum(axis=1, keepdims=True).clip(1) * 100
    width = max(map(len, (*made.dataset.classes, "class")))
    click.echo(f"\n{'class':<{width}}  pixels: all %  labelled %  labelled")
    for row in zip(made.dataset.classes, everything, labelled, made.pixels[1], strict=True):
        click.echo("{:<{width}}  {:>13.2f}  {:>10.2f}  {:>10,}".format(*row, width=width))
    click.echo()


def _set(key: str, value: str) -> str:
    """Return the option that sets this recipe key."""
    return f"--set {shlex.quote(f'data.{key}={value}')}"
