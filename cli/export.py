"""`usrn export`: write a trained model for deployment."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import require_backend
from usrn_cli.output import print_json

FORMATS = ["onnx", "tf_saved_model", "litert", "torch"]


@click.command("export", short_help="Write a trained model for deployment.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="What to write.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="File or folder to write.  [default: RUN/export/]"
)
@click.option("--json", "as_json", is_flag=True, help="What was written and checked as JSON.")
def command(run: Path, format_: str, out: Path | None, as_json: bool) -> None:
    """Write the model of the run in the folder RUN, then run what was written and compare.

    \b
    Examples:
      usrn export runs/quickstart --format onnx
      usrn export runs/quickstart --format litert --out model.tflite
      KERAS_BACKEND=jax usrn export runs/quickstart --format tf_saved_model
    """
    require_backend()
    from usrn_keras.export import export_run

    written = export_run(run, format_, out)
    if as_json:
        print_json({"written": str(written)})
    else:
        click.echo(written)
