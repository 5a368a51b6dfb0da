"""What is in run folders: a line for each run, damaged products, and files that may go."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usrn_keras.errors import RunError, USRNError
from usrn_keras.files import collect_files, leftovers, storage_errors
from usrn_keras.metrics import Scores
from usrn_keras.runs.folder_lock import locked_folder
from usrn_keras.runs.run import EVALUATION, STAGES_FILE, Run
from usrn_keras.runs.run_folder import open_run

FEATURES, SCORES = "features", "scores"
"""Folders of a stage that is not complete, or that `usrn cluster` was interrupted in; they can be large."""


@dataclass(frozen=True)
class ListedRun:
    """A run folder in a list.

    Attributes:
        path: Run folder.
        method: Name of the method; "" if the folder cannot be read.
        complete: Number of complete stages.
        stages: Number of stages.
        miou: mIoU of the last model in 0..1; None without scores.
        size: Size of all files in bytes.
        problem: Why the folder cannot be read; "" if it can.
    """

    path: Path
    method: str = ""
    complete: int = 0
    stages: int = 0
    miou: float | None = None
    size: int = 0
    problem: str = ""


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """List the run folders among and below some folders, sorted, also those that lack a file.

    Args:
        folders: Run folders, or folders that contain them at any depth.
    """
    found = {file.parent for folder in folders for file in folder.rglob(STAGES_FILE)}
    datasets = {file.parent for folder in folders for file in folder.rglob("dataset.json")}
    return sorted(found | {path for path in datasets if (path / "recipe.toml").exists()})


def describe_run(path: Path) -> ListedRun:
    """Describe a run folder; one that cannot be read says why."""
    size = sum(file.stat().st_size for file in collect_files(path))
    try:
        run = open_run(path)
        done = sum(map(run.is_complete, run.stages))
        miou = Scores.from_json(run.results["scores"][-1]).miou if run.evaluation_file.exists() else None
    except USRNError as error:
        return ListedRun(path, size=size, problem=error.message)
    return ListedRun(path, run.recipe.training.method, done, len(run.stages), miou, size)


def damaged_products(run: Run) -> list[str]:
    """Compare every product of a run with its recorded size and SHA-256.

    Returns:
        A line for each product that is missing or has changed, and for each `complete.json` that is damaged.
    """
    lines = []
    for stage in (*filter(run.is_complete, run.stages), *[EVALUATION] * run.is_complete(EVALUATION)):
        try:
            lines += [f"{name} {problem}" for name, problem in run.changed_products(stage)]
        except RunError as error:
            lines.append(error.message)
    return lines


def removable(run: Run) -> list[Path]:
    """List what a run does not need: what killed processes left, features and scores of complete stages.

    The features of a frozen backbone go once all stages are trained.
    """
    kept = [run.stage(stage) / name for stage in run.stages for name in (FEATURES, SCORES)]
    done = [folder for folder in kept if folder.is_dir() and run.is_complete(folder.parent.name)]
    trained = all(map(run.is_complete, run.training_stages))
    backbone = [run.path / FEATURES] if trained and (run.path / FEATURES).is_dir() else []
    return [*leftovers(run.path), *done, *backbone]


def clean_run(run: Run, *, dry_run: bool = False) -> dict[str, Any]:
    """Remove what `removable` lists.

    Args:
        run: The run.
        dry_run: Whether to list only.

    Returns:
        `run`, `removed` paths and the freed `bytes`.

    Raises:
        RunError: Another process uses the run.
        StorageError: A file cannot be removed.
    """
    with locked_folder(run.path):
        paths = removable(run)
        size = sum(file.stat().st_size for path in paths for file in collect_files(path))
        for path in () if dry_run else paths:
            with storage_errors(path):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return {"run": str(run.path), "removed": [str(path) for path in paths], "bytes": size}
