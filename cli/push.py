"""`usrn push`: share a trained model on the Hugging Face Hub."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.output import print_json


@click.command("push", short_help="Share a trained model with a model card.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repository", metavar="OWNER/NAME")
@click.option(
    "--license",
    "licence",
    metavar="ID",
    help="Licence of the weights, such as cc-by-4.0; asked for on a terminal.",
)
@click.option("--dry-run", is_flag=True, help="Write the folder that would be pushed, and send nothing.")
@click.option("--public", is_flag=True, help="Make a new repository public.  [default: private]")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write.  [default: hub in the run folder]"
)
@click.option("--json", "as_json", is_flag=True, help="Print folder, files and address as JSON.")
def command(
    run: Path,
    repository: str,
    licence: str | None,
    dry_run: bool,
    public: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Write the model of the run folder RUN with recipe, scores and model card, and push it to the Hub.

    \b
    Examples:
      usrn push runs/quickstart ada/street-scenes --license cc-by-4.0 --dry-run
      usrn push runs/quickstart ada/street-scenes --license cc-by-4.0
      usrn push runs/quickstart ada/street-scenes --license apache-2.0 --public

    Read README.md in the folder before you push: the card is made from the run, with its data, classes,
    scores and how they were measured, and limits. Images and masks are not pushed, folders of this machine
    are left out. Without --dry-run the package huggingface_hub is needed, for the Hugging Face Hub; a new
    repository is private.
    """
    from usrn_keras.hub.hub_names import check_licence, check_repository

    check_repository(repository)
    licence = licence or _ask_licence()
    check_licence(licence)
    load_backend()
    from usrn_keras.hub.hub_folder import write_hub_folder
    from usrn_keras.hub.hub_push import push_folder, require_huggingface_hub

    if not dry_run:
        require_huggingface_hub()
    folder = write_hub_folder(run, repository, licence, out)
    address = None if dry_run else push_folder(folder, private=not public)
    if as_json:
        print_json({**folder.to_json(), "pushed": address})
        return
    for name, size in folder.files.items():
        click.echo(f"{folder.path / name}  ({size / 1e6:.2f} MB)")
    click.echo(f"pushed: {address}" if address else f"nothing was sent; it would be pushed to {repository}")


def _ask_licence() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(
            "--license is missing: the licence of the weights, such as cc-by-4.0; the terms of your images "
            "and of pretrained weights limit your choice"
        )
    return click.prompt("Licence of the weights, such as cc-by-4.0", err=True)
