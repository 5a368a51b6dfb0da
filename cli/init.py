"""`usrn init`: a project from folders of images and masks."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.options import quiet_option
from usrn_cli.output import print_json, print_table

FOLDER = click.Path(path_type=Path)


@click.command("init", short_help="Make a recipe from folders of images and masks.")
@click.argument("folder", type=FOLDER)
@click.option("--images", required=True, type=FOLDER, help="Folder of the images.")
@click.option("--masks", required=True, type=FOLDER, help="Folder of the masks; may be the same.")
@click.option("--val", default="", metavar="DIR|SHARE", help="Validation images.  [default: val/, or 0.2]")
@click.option("--val-masks", default="", metavar="DIR", help="Their masks, where --val lies apart.")
@click.option("--test", default="", metavar="DIR|SHARE", help="Test images.  [default: test/, or none]")
@click.option("--test-masks", default="", metavar="DIR", help="Their masks, where --test lies apart.")
@click.option(
    "--names", default="", metavar="FILE", help="Per line `NAME`, `ID NAME` or `RED GREEN BLUE NAME`."
)
@click.option("--ignore", multiple=True, metavar="VALUE|R,G,B", help="Mask value or colour without a class.")
@click.option("--labelled", default="", metavar="SHARE", help="Use so many of the masks.  [default: all]")
@click.option("--image-pattern", default="", metavar="TEXT", help="As {name}_rgb.  [default: found]")
@click.option("--mask-pattern", default="", metavar="TEXT", help="As {name}_mask.  [default: found]")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the draws.")
@click.option("--gpu/--cpu", default=None, help="What it is for.  [default: an NVIDIA GPU if there is one]")
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="What was found as JSON.")
def command(folder: Path, quiet: bool, as_json: bool, **options: object) -> None:
    """Look at images and masks, and write a project into FOLDER: a commented recipe, lists, classes, colours.

    Images and masks belong together by their names, whatever is added to these (`a.jpg`, `a_mask.png`);
    images without a mask are the unlabelled ones. Masks may hold ids of 8 or 16 bits, palette indices,
    0 and 255, or RGB colours. What is assumed is printed, and stands as comments in the recipe.

    \b
    Examples:
      usrn init my_project --images photos --masks masks
      usrn init my_project --images data --masks data --val 0.1 --names names.txt
      usrn init my_project --images train/images --masks train/masks --val val --test test
      usrn init my_project --images photos --masks masks --labelled 1/4
    """
    from usrn_keras.progress import terminal_progress
    from usrn_keras.project import ProjectRequest, create_project

    with terminal_progress(quiet=quiet) as progress:
        project = create_project(folder, ProjectRequest(**options), progress=progress)
    if as_json:
        print_json(project.to_json())
        return
    print_table(project)
    for line in project.lines():
        click.echo(line)
