"""The folder that is pushed: the model, its recipe, classes, scores and model card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import tomli_w

from usrn_keras.errors import ExportError, RunError
from usrn_keras.files import staged_path, write_json
from usrn_keras.hub.hub_names import check_licence, check_repository
from usrn_keras.hub.model_card import model_card
from usrn_keras.runs import open_run

FILES = ("README.md", "classes.json", "evaluation.json", "model.keras", "recipe.toml")


@dataclass(frozen=True)
class HubFolder:
    """A folder that can be pushed.

    Attributes:
        path: The folder.
        repository: Name of the repository, `owner/name`.
        files: Names of its files, with their sizes in bytes.
    """

    path: Path
    repository: str
    files: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Convert to JSON values."""
        return {"folder": str(self.path), "repository": self.repository, "files": dict(self.files)}


def write_hub_folder(
    run_dir: Path | str, repository: str, licence: str, out: Path | str | None = None
) -> HubFolder:
    """Write the folder of a complete run that `push_folder` uploads. Nothing is sent.

    Absolute paths in the recipe and in the scores are shortened to their last part, because they tell about
    the machine and mean nothing on another one.

    Args:
        run_dir: Path of the run folder.
        repository: Name of the repository, `owner/name`.
        licence: Identifier of the licence, such as `cc-by-4.0`.
        out: Folder to write; by default `hub` in the run folder. An earlier one is replaced.

    Raises:
        ExportError: A name is not valid, or `out` has other files.
        RunError: The run is not complete.
        StorageError: The folder cannot be written.
    """
    check_repository(repository)
    check_licence(licence)
    run, folder = open_run(run_dir), Path(out) if out is not None else Path(run_dir) / "hub"
    if not run.evaluation_file.exists():
        raise RunError(
            f"{run.path} has no scores for the model card",
            hint=f"Complete it: usrn fit {run.path / 'recipe.toml'} --run {run.path}",
        )
    _check_target(folder)
    with staged_path(folder, "hub") as staged:
        staged.mkdir()
        shutil.copyfile(run.model_path, staged / "model.keras")
        recipe = without_folders(run.recipe.model_dump())
        (staged / "recipe.toml").write_text(tomli_w.dumps(recipe), encoding="utf-8")
        scores = {key: value for key, value in run.results.items() if key != "run"}
        write_json(staged / "evaluation.json", without_folders(scores))
        described = {"classes": list(run.classes), "palette": run.palette.tolist()}
        write_json(staged / "classes.json", {**described, "value_range": list(run.recipe.data.value_range)})
        (staged / "README.md").write_text(model_card(run, repository, licence), encoding="utf-8")
    return HubFolder(folder, repository, {name: (folder / name).stat().st_size for name in FILES})


def without_folders(value: Any) -> Any:
    """Shorten absolute paths in nested values to their last part.

    Args:
        value: JSON value.

    Example:

    >>> without_folders({"root": "/home/ada/camvid", "images": "images"})
    {'root': 'camvid', 'images': 'images'}
    """
    if isinstance(value, dict):
        return {key: without_folders(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(inner) for inner in value]
    if isinstance(value, str):
        if PurePosixPath(value).is_absolute() or value.startswith("~"):
            return PurePosixPath(value).name
        if PureWindowsPath(value).is_absolute():
            return PureWindowsPath(value).name
    return value


def _check_target(folder: Path) -> None:
    if folder.is_file():
        raise ExportError(f"{folder} is a file, not a folder", hint="Choose another folder: --out FOLDER")
    if folder.is_dir():
        others = sorted(path.name for path in folder.iterdir() if path.name not in FILES)
        if others:
            raise ExportError(
                f"{folder} has other files and is not replaced: {', '.join(others[:5])}",
                hint="Choose another folder: --out FOLDER",
            )
