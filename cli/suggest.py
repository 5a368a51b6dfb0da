"""`usrn suggest`: choose the unlabelled images to label next."""

from __future__ import annotations

from pathlib import Path

import click

from usrn_cli.backend import load_backend
from usrn_cli.options import quiet_option
from usrn_cli.output import print_json

FILES = ("next.txt", "next.csv", "next.png")


@click.command("suggest", short_help="Choose the unlabelled images to label next.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--count", type=click.IntRange(1), default=20, show_default=True, help="Number of images to choose."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Folder of next.txt, next.csv and next.png.  [default: the working folder]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the choice.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the images as JSON.")
def command(
    runs: tuple[Path, ...], count: int, out: Path, seed: int, force: bool, quiet: bool, as_json: bool
) -> None:
    """Rank the unlabelled images of the data set of RUNS by what their labels would teach.

    \b
    Examples:
      usrn suggest runs/first --count 20
      usrn suggest runs/seed0 runs/seed1 runs/seed2 --count 10 --out next
      usrn labels export runs/a photos --only next.txt --format labelme --out a

    Images score by the uncertainty of the models, with more weight on rare classes, and by the disagreement
    between the models: the Baseline and the final model of one run, or the final models of several runs. Of
    the best, images that differ from each other are chosen.

    next.txt lists the names, next.csv the scores, next.png shows where the models are uncertain.
    """
    from usrn_keras.errors import StorageError

    if not force and (there := [name for name in FILES if (out / name).exists()]):
        raise StorageError(
            f"{out / there[0]} exists already", hint="Choose another folder with --out, or use --force."
        )
    load_backend()
    from usrn_keras.evaluation.next_images import suggest_images
    from usrn_keras.files import atomic_path
    from usrn_keras.progress import terminal_progress

    with terminal_progress(quiet=quiet) as progress:
        suggestion, sheet = suggest_images(runs, count, seed=seed, progress=progress)
    contents = (suggestion.names_text().encode(), suggestion.csv_text().encode(), sheet)
    for name, content in zip(FILES, contents, strict=True):
        with atomic_path(out / name) as temporary:
            temporary.write_bytes(content)
    if as_json:
        print_json(suggestion.to_json())
        return
    click.echo("\n".join(str(out / name) for name in FILES))
