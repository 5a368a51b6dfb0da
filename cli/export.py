"""`usrn export`: export a trained model for deployment."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.output import print_json
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
@click.option("--json", "as_json", is_flag=True, help="Print output path and parity check as JSON.")
def command(
    run: Path,
    format_: str,
    out: Path | None,
    size: tuple[int, int] | None,
    argmax: bool,
    as_json: bool,
) -> None:
    """Export the model of the run folder RUN, then run the exported model and compare its output.

    The file MODEL.labels.json beside it describes the classes, their colours, and how to pad an image. An
    ONNX file has the names and colours of the classes as metadata too.

    \b
    Examples:
      usrn export runs/quickstart --format onnx
      usrn export runs/quickstart --format onnx --argmax --size 512x512
      usrn export runs/quickstart --format litert --size 480x640 --out my.tflite
      KERAS_BACKEND=jax usrn export runs/quickstart --format tf_saved_model
    """
    load_backend()
    from usrn_keras.export import export_run

    report = export_run(run, format_, out, input_size=size, argmax=argmax)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report)
