"""`usrn weights`: the published weights of backbones, and whether a file fits."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.output import print_json
from usrn_cli.suggestions import Group


@click.group("weights", cls=Group, short_help="List, fetch and check weights of backbones.")
def command() -> None:
    """Pretrained weights: which file to bring to a machine without internet, and whether it fits.

    \b
    Examples:
      usrn weights list
      usrn weights fetch torchvision/resnet50
      usrn weights check torchvision/resnet50 resnet50-0676ba61.pth
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Backbones, addresses and paths as JSON.")
def list_weights(as_json: bool) -> None:
    """List the published file of each backbone, and whether it is on this machine.

    \b
    Examples:
      usrn weights list
      usrn weights list --json
    """
    from usrn_keras.networks.published_weights import PUBLISHED

    if as_json:
        print_json(
            [
                {
                    "backbone": name,
                    "url": file.url,
                    "path": str(file.cached),
                    "present": file.cached.is_file(),
                    file.algorithm: file.digest,
                }
                for name, file in PUBLISHED.items()
            ]
        )
        return
    for name, file in PUBLISHED.items():
        there = f"at {file.cached}" if file.cached.is_file() else "not on this machine"
        click.echo(f"{name}  {there}\n  {file.url}")


@command.command("fetch")
@click.argument("backbone")
def fetch_weights(backbone: str) -> None:
    """Download the published weights of BACKBONE, verify their checksum, and print the path of the file.

    \b
    Example:
      usrn weights fetch keras/resnet50
    """
    from usrn_keras.networks.published_weights import fetch

    click.echo(fetch(backbone))


@command.command("check")
@click.argument("backbone")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--width", default=1.0, show_default=True, help="Factor on the channels, network.width.")
def check(backbone: str, file: Path, width: float) -> None:
    """Load FILE into BACKBONE, and compare its checksum if it has the name of a published file.

    FILE is a .weights.h5, .h5, .keras, .safetensors or .pth file. Every tensor that differs is listed.

    \b
    Examples:
      usrn weights check torchvision/resnet50 resnet50-0676ba61.pth
      usrn weights check keras/mobilenet mobilenet.weights.h5 --width 0.25
    """
    from usrn_keras.networks.backbones import find_backbone
    from usrn_keras.networks.pretrained_weights import load_weights_file
    from usrn_keras.networks.published_weights import published_of, verify

    model = find_backbone(backbone).build(width)
    load_weights_file(model, str(file))
    published = published_of(backbone)
    same = published is not None and published.name == file.name
    if same:
        verify(file, published)
    parameters = f"{model.count_params():,} parameters"
    known = f"; its {published.algorithm} is that of the published file" if same and published.digest else ""
    click.echo(f"{file} fits {backbone}: {len(model.weights)} tensors, {parameters}{known}")
    click.echo(f"use it: --set network.backbone={backbone} --set network.weights={file}")
