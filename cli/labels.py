"""`usrn labels`: draw annotations of labelling tools as masks."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.options import quiet_option
from usrn_cli.output import print_json
from usrn_cli.suggestions import Group

FOLDER = click.Path(path_type=Path)


@click.group("labels", cls=Group, short_help="Draw annotations of labelling tools as masks.")
def command() -> None:
    """Exchange labels with labelling tools: LabelMe, COCO, CVAT, Label Studio, YOLO, Supervisely, Cityscapes.

    \b
    Examples:
      usrn labels import instances.json --images photos --out masks
    """


@command.command("import")
@click.argument("source", type=FOLDER)
@click.option("--images", required=True, type=FOLDER, help="Folder of the annotated images.")
@click.option("--out", required=True, type=FOLDER, help="Folder of the masks; existing masks are kept.")
@click.option(
    "--unlabelled",
    type=click.Choice(["background", "ignore"]),
    help="Pixels of no shape.  [default: background; ignore for Cityscapes]",
)
@click.option(
    "--names",
    default="",
    metavar="FILE",
    help="File of class names in the order of their ids.  [default: OUT/classes.txt, or the labels]",
)
@click.option("--ignore", multiple=True, metavar="LABEL", help="Label without a class; may be repeated.")
@click.option("--replace", is_flag=True, help="Replace existing masks of the same images.")
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def import_(
    source: Path,
    images: Path,
    out: Path,
    unlabelled: str | None,
    names: str,
    ignore: tuple[str, ...],
    replace: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Draw the annotations of SOURCE, a file, a folder or a zip, as palette PNG masks.

    \b
    Examples:
      usrn labels import instances.json --images photos --out masks
      usrn labels import photos --images photos --out masks --unlabelled ignore
      usrn labels import cvat_export.zip --images photos --out masks --names classes.txt

    Formats: LabelMe JSON, COCO instances, CVAT "Segmentation mask 1.1", Label Studio, YOLO polygons,
    Roboflow, Supervisely and Cityscapes polygons. Classes, overlaps, and images and annotations without a
    counterpart are listed. With an error or an interrupt, nothing is written.
    """
    from usrn_keras.data.annotations import import_annotations
    from usrn_keras.progress import terminal_progress
    from usrn_keras.project.class_names import ordered_names

    with terminal_progress(quiet=quiet) as progress:
        report = import_annotations(
            source,
            images,
            out,
            unlabelled=unlabelled or "",
            names=ordered_names(Path(names)) if names else (),
            ignore=ignore,
            replace=replace,
            progress=progress,
        )
    if as_json:
        print_json(report.to_json())
        return
    click.echo("\n".join(report.lines()))
