"""What to do about a damaged file of a run folder: which one may be deleted, and what writes it again."""

from __future__ import annotations

import shlex
from pathlib import Path

import pydantic

from usrn_keras.errors import RunError

FIT = "`usrn fit {run}/recipe.toml --run {run}`"
REMEDIES = {
    "dataset.json": f"If images and masks are the same as before, delete it: {FIT} writes it again.",
    "stages.json": f"{FIT} writes it again; completed stages are skipped.",
    "environment.json": "Delete it: only the report and --reuse read it.",
    "complete.json": f"Delete it: {FIT} completes the stage again, from its checkpoint if there is one.",
    "evaluation.json": f"Delete it: {FIT} evaluates the models again.",
    "scores.json": f"Delete it: {FIT} evaluates this model again.",
    "best.json": "Use the last weights (--checkpoint last), or train again in another folder (--run FOLDER).",
    "metrics.jsonl": "Delete the line or the file: only the curves and times of the report need it.",
    "diagnosis.jsonl": "Delete the line or the file: only the report needs it.",
    "subclasses.json": f"Delete the folder {{folder}}: {FIT} clusters again.",
    "centers.npy": f"Delete the folder {{folder}}: {FIT} clusters again.",
    "small_maps.npz": f"Delete it and {{run}}/evaluation.json: {FIT} evaluates the models again.",
    "image_scores.csv": f"Delete it and {{run}}/evaluation.json: {FIT} evaluates the models again.",
    "engines.json": "Delete it: `usrn cluster {run} --compare` compares the engines again.",
    "plain.json": "Delete it: `usrn cluster {run}` measures plain k-means again.",
}
"""Remedies by file name; `{run}` is the run folder, `{folder}` that of the file."""


def damaged_file(path: Path, error: Exception) -> RunError:
    """Create the error of a file that cannot be used, with its remedy.

    Args:
        path: Path of the file.
        error: Error of the operating system, of a parser, or of a function that reads a JSON value.

    Example:

    >>> print(damaged_file(Path("runs/a/environment.json"), ValueError("the file is empty")))
    runs/a/environment.json is damaged: the file is empty
    Delete it: only the report and --reuse read it.
    """
    run = next((folder for folder in path.parents if (folder / "recipe.toml").exists()), path.parent)
    remedy = REMEDIES.get(path.name, "Delete it and run the same command again.")
    quoted = {"run": shlex.quote(str(run)), "folder": shlex.quote(str(path.parent))}
    if isinstance(error, OSError):
        return RunError(f"{path} cannot be read: {error.strerror or error}", hint=remedy.format(**quoted))
    return RunError(f"{path} is damaged: {describe_problem(error)}", hint=remedy.format(**quoted))


def describe_problem(error: Exception) -> str:
    """Describe in one line why the content of a file could not be understood.

    Args:
        error: Error of a parser, or of a function that reads a JSON value.

    Example:

    >>> describe_problem(KeyError("scores"))
    "the key 'scores' is missing"
    """
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    if isinstance(error, KeyError):
        return f"the key {error} is missing"
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error)
