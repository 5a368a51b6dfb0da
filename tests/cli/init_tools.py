"""`usrn init` on made folders."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.data import load_dataset
from usrn_keras.recipe import load_recipe

COLOURS = ((0, 0, 0), (128, 64, 128), (255, 0, 0))


def usrn_init(root: Path, *options: object, images="photos", masks="masks", name="my_project"):
    arguments = ["init", root / name, "--images", root / images, "--masks", root / masks, "--cpu", *options]
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def dataset_of(root: Path, *options: object, **folders: str):
    """The data set that the written recipe loads."""
    result = usrn_init(root, "--quiet", *options, **folders)
    assert result.exit_code == 0, result.stderr
    name = folders.get("name", "my_project")
    return load_dataset(load_recipe(str(root / f"{name}/{name}.toml")).data)


def sizes(dataset) -> list[int]:
    return [len(getattr(dataset, part)) for part in ("labelled", "unlabelled", "val", "test")]
