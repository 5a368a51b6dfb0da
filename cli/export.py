"""`usrn export`: export a trained model for deployment."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import quiet_option
from usrn_cli.output import print_json, print_rich
from usrn_cli.suggestions import Choice

FORMATS = ("onnx", "tf_saved_model", "litert", "torch")


class Size(click.ParamType):
    """Image size `HEIGHTxWIDTH` in pixels."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: str, param: object, ctx: click.Context | None) -> tuple[int, int]:
        height, times, width = value.partition("x")
        if not (times and height.isdecimal() and width.isdecimal()):
            self.fail(f"must be HEIGHTxWIDTH, such as 512x1024, received {value!r}")
        return int(height), int(width)


@click.command("export", short_help="Export a trained model for deployment.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=Choice(FORMATS), required=True, help="Export format.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Output file or folder.  [default: in RUN/export/]"
)
@click.option("--size", type=Size(), help="Fixed image size.  [default: any multiple of 32]")
@click.option(
    "--argmax", is_flag=True, help="Add the output `classes` to an ONNX file: the class of each pixel."
)
@click.option(
    "--check",
    is_flag=False,
    flag_value="val",
    metavar="[DATA]",
    help="Measure mIoU, size and time of the exported model, and for onnx of float16 and int8 copies, beside "
    "the run's own. DATA: val or test of the run, or a recipe, whose val images are taken.  [default: val]",
)
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print output path, parity check and --check as JSON.")
def command(
    run: Path,
    format_: str,
    out: Path | None,
    size: tuple[int, int] | None,
    argmax: bool,
    check: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Export the model of the run folder RUN, then run the exported model and compare its output.

    The file MODEL.labels.json beside it describes the classes, their colours, and how to pad an image. An
    ONNX file has the names and colours of the classes as metadata too.

    \b
    Examples:
      usrn export runs/quickstart --format onnx
      usrn export runs/quickstart --format onnx --argmax --size 512x512
      usrn export runs/quickstart --format onnx --check
      usrn export runs/quickstart --format onnx --check test --json
      usrn export runs/quickstart --format litert --size 480x640 --out my.tflite
      KERAS_BACKEND=jax usrn export runs/quickstart --format tf_saved_model
    """
    load_backend()
    from usrn_keras.export import export_run

    if check is None:
        report = export_run(run, format_, out, input_size=size, argmax=argmax)
        print_json(report.to_json()) if as_json else click.echo(report)
        return
    from usrn_keras.export.score_check import CheckImages, check_scores
    from usrn_keras.export.score_table import score_table
    from usrn_keras.progress import terminal_progress

    images = CheckImages.of(run, check)  # before the conversion, which takes long
    report = export_run(run, format_, out, input_size=size, argmax=argmax)
    with terminal_progress(quiet=quiet) as progress:
        found = check_scores(run, report, images, input_size=size, progress=progress)
    if as_json:
        print_json({**report.to_json(), "check": found.to_json()})
    else:
        click.echo(report)
        print_rich(score_table(found))
