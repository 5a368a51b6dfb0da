"""`usrn export`: write a trained model for deployment."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.output import print_json

FORMATS = ("onnx", "tf_saved_model", "litert", "torch")


class Size(click.ParamType):
    """`HEIGHTxWIDTH` in pixels."""

    name = "HEIGHTxWIDTH"

    def convert(self, value: str, param: object, ctx: click.Context | None) -> tuple[int, int]:
        height, times, width = value.partition("x")
        if not (times and height.isdecimal() and width.isdecimal()):
            self.fail(f"{value!r} is not of the form HEIGHTxWIDTH, such as 512x1024")
        return int(height), int(width)


@click.command("export", short_help="Write a trained model for deployment.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File or folder to write.  [default: in RUN/export/]"
)
@click.option("--size", type=Size(), help="Fixed image size; by default any multiple of 32 will do.")
@click.option("--json", "as_json", is_flag=True, help="What was written and how well it agrees as JSON.")
def command(run: Path, format_: str, out: Path | None, size: tuple[int, int] | None, as_json: bool) -> None:
    """Write the model of the run in the folder RUN, then run what was written and compare.

    Beside it, MODEL.labels.json says the classes, their colours, and how to pad an image.

    \b
    Examples:
      usrn export runs/quickstart --format onnx
      usrn export runs/quickstart --format litert --size 480x640 --out model.tflite
      KERAS_BACKEND=jax usrn export runs/quickstart --format tf_saved_model
    """
    load_backend()
    from usrn_keras.export import export_run

    report = export_run(run, format_, out, input_size=size)
    if as_json:
        print_json(report.to_json())
    else:
        click.echo(report)
