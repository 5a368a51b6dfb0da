"""`usrn labels`: draw annotations as masks, and write predictions for labelling tools."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import quiet_option
from usrn_cli.output import print_json
from usrn_cli.suggestions import Group

FOLDER = click.Path(path_type=Path)


@click.group("labels", cls=Group, short_help="Draw annotations as masks; export predictions to correct.")
def command() -> None:
    """Exchange labels with labelling tools: LabelMe, COCO, CVAT, Label Studio, YOLO, Supervisely, Cityscapes.

    \b
    Examples:
      usrn labels import instances.json --images photos --out masks
      usrn labels export runs/first photos --format labelme --out to_correct
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
      usrn labels import cvat.zip --images photos --out masks --names names.txt

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


@command.command("export")
@click.argument("run", type=FOLDER)
@click.argument("images", nargs=-1, required=True, type=FOLDER)
@click.option(
    "--format",
    required=True,
    type=click.Choice(["labelme", "coco", "cvat", "labelstudio", "masks"]),
    help="Format of the labels.",
)
@click.option("--out", required=True, type=FOLDER, help="New folder, or archive if it ends in .zip.")
@click.option("--only", type=FOLDER, help="File that lists the images to export, one per line.")
@click.option(
    "--confidence",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Probability below which a pixel is doubtful.",
)
@click.option(
    "--doubtful",
    type=click.Choice(["ignore", "leave-out"]),
    default="ignore",
    show_default=True,
    help="Label doubtful pixels __ignore__, or write no shape for them.",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(
    run: Path,
    images: tuple[Path, ...],
    format: str,
    out: Path,
    only: Path | None,
    confidence: float,
    doubtful: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Write the predictions of RUN for IMAGES in the format of a labelling tool, to be corrected there.

    \b
    Examples:
      usrn labels export runs/first photos --format labelme --out to_correct
      usrn labels export runs/a photos --only next.txt --format cvat --out a.zip
      usrn labels export runs/a photos --format coco --out a --doubtful leave-out

    Every format is exact to the pixel. classes.txt in the output gives `usrn labels import --names` the ids.
    """
    load_backend()
    from usrn_keras.evaluation.label_export import export_labels
    from usrn_keras.progress import terminal_progress

    with terminal_progress(quiet=quiet) as progress:
        exported = export_labels(
            run,
            images,
            out,
            format,
            only=only,
            confidence=confidence,
            doubtful=doubtful,
            progress=progress,
        )
    if as_json:
        print_json(exported.to_json())
        return
    click.echo("\n".join(exported.lines()))
