"""`usrn init`: create a project from folders of images and masks."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.options import quiet_option
from usrn_cli.output import print_json, print_table

FOLDER = click.Path(path_type=Path)


@click.command("init", short_help="Create a recipe from folders of images and masks.")
@click.argument("folder", type=FOLDER)
@click.option("--images", required=True, type=FOLDER, help="Folder of the images.")
@click.option(
    "--masks",
    required=True,
    type=FOLDER,
    help="Folder of the masks; may be the same folder. Or annotations: a file, a folder or a zip.",
)
@click.option(
    "--val",
    default="",
    metavar="DIR|SHARE",
    help="Validation images: a folder or a share.  [default: val/, or 0.2]",
)
@click.option("--val-masks", default="", metavar="DIR", help="Masks of a separate --val folder.")
@click.option(
    "--test",
    default="",
    metavar="DIR|SHARE",
    help="Test images: a folder or a share.  [default: test/, or none]",
)
@click.option("--test-masks", default="", metavar="DIR", help="Masks of a separate --test folder.")
@click.option(
    "--names",
    default="",
    metavar="FILE",
    help="File of class names; per line NAME, ID NAME, RED GREEN BLUE NAME, or CVAT's labelmap.txt.",
)
@click.option(
    "--ignore",
    multiple=True,
    metavar="VALUE|R,G,B|LABEL",
    help="Mask value, colour or label of pixels without a class; may be repeated.",
)
@click.option("--labelled", default="", metavar="SHARE", help="Share of the masks to use.  [default: all]")
@click.option(
    "--image-pattern",
    default="",
    metavar="TEXT",
    help="Image names, such as {name}_rgb.  [default: detected]",
)
@click.option(
    "--mask-pattern", default="", metavar="TEXT", help="Mask names, such as {name}_mask.  [default: detected]"
)
@click.option(
    "--mask-threshold",
    type=click.IntRange(0, 254),
    metavar="VALUE",
    help="Masks of two classes with soft edges or from JPEGs: larger values are the second class (127).",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the random splits."
)
@click.option(
    "--gpu/--cpu",
    default=None,
    help="Device to propose settings for.  [default: GPU if an NVIDIA GPU is found]",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the project as JSON.")
def command(folder: Path, quiet: bool, as_json: bool, **options: object) -> None:
    """Inspect images and masks, and create a project in FOLDER: commented recipe, lists, classes, colours.

    Images and masks are matched by name, with or without an affix (`a.jpg`, `a_mask.png`); images without a
    mask are unlabelled. Masks may contain 8-bit or 16-bit ids, palette indices, 0 and 255, or RGB colours.
    Annotations of LabelMe, COCO, CVAT, Label Studio, YOLO, Supervisely or Cityscapes are drawn to masks in
    the project. All assumptions are printed, and written to the recipe as comments.

    \b
    Examples:
      usrn init my_project --images photos --masks masks
      usrn init my_project --images data --masks data --val 0.1 --names names.txt
      usrn init my_project --images train/a --masks train/b --val val --test test
      usrn init my_project --images photos --masks masks --labelled 1/4
      usrn init my_project --images photos --masks instances.json
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
