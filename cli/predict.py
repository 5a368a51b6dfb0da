"""`usrn predict`: segment images with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import mode_option, pool_options, quiet_option, validate_pool
from usrn_cli.output import print_json

if TYPE_CHECKING:
    from usrn_keras.data.left_out_files import LeftOut


@click.command("predict", short_help="Segment images with a trained run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    "out_dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Output folder; created if missing.",
)
@click.option("--confidence", is_flag=True, help="Write the probability of the predicted class, too.")
@mode_option
@click.option(
    "--max-side",
    type=click.IntRange(min=32),
    metavar="N",
    help="Predict larger images at a reduced size, N pixels on the longer side; the classes are enlarged to "
    "the size of the image.",
)
@pool_options
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the written files as JSON.")
def command(
    run: Path,
    inputs: tuple[Path, ...],
    out_dir: Path,
    confidence: bool,
    mode: str | None,
    max_side: int | None,
    workers: int | None,
    scheduler: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Segment INPUTS, images or folders of images, with the model of the run folder RUN.

    \b
    Examples:
      usrn predict runs/quickstart photo.jpg --out predictions
      usrn predict runs/quickstart photo.jpg folder/ --out predictions --json
      usrn predict runs/quickstart folder/ --out predictions --confidence
      usrn predict runs/quickstart aerial.tif --out predictions --mode slide
      usrn predict runs/quickstart aerial.tif --out predictions --max-side 2048
      usrn predict runs/quickstart folder/ --out predictions --workers 4

    For each image, STEM.png (class ids, with the class colours as palette) and overlays/STEM.png are written,
    and with --confidence confidence/STEM.png (grey values, 255 is a probability of 1). OUT must not be inside
    a folder of INPUTS. Images of a folder keep their subfolders. Pictures in formats that are not read (HEIC,
    AVIF, ...) are counted and named. Images that cannot be read are listed at the end (exit code 4); all
    others are written. With --workers or --scheduler, an interrupted command resumes.

    Images of more than 8 million pixels are predicted in tiles, with the result of the whole image, unless
    the network has attention or a pyramid of poolings. An image that needs more memory than there is ends
    the command before it is predicted (exit code 11); --mode slide and --max-side need less.
    """
    validate_pool(workers, scheduler)
    load_backend()
    from usrn_keras.chunks import open_pool
    from usrn_keras.evaluation.predict import predict_files
    from usrn_keras.progress import terminal_progress

    written: list[Path] = []
    notes: list[LeftOut] = []
    try:
        with open_pool(workers, scheduler) as pool, terminal_progress(quiet=quiet) as progress:
            predict_files(
                run,
                inputs,
                out_dir,
                confidence=confidence,
                mode=mode,
                max_side=max_side or 0,
                pool=pool,
                progress=progress,
                wrote=written.append,
                left_out=notes.append,
            )
    finally:  # report the written files also after an error or Ctrl-C
        for note in notes:
            click.echo(f"note: {note}", err=True)
        if as_json and written:
            left_out = [str(path) for note in notes for path in note.files]
            written_files = [str(path) for path in written]
            print_json({"written": written_files, "left_out": left_out, "max_side": max_side})
        elif written:
            click.echo("\n".join(map(str, written)))
