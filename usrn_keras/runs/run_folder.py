"""Open a run folder to read it, or create or resume it: lock, and recipe and data set that match."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tomli_w

from usrn_keras.data import Dataset
from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path, read_json, remove_leftovers, storage_errors, write_json
from usrn_keras.recipe import Recipe, load_run_recipe
from usrn_keras.recipe.old_keys import stages_of_earlier_version
from usrn_keras.recipe.stage_plan import Label, Stage, stage_folders, stages_from_json, stages_to_json
from usrn_keras.runs.environment import add_session
from usrn_keras.runs.folder_lock import locked_folder
from usrn_keras.runs.identity import check_same_data, describe
from usrn_keras.runs.run import STAGES_FILE, Run

# Keys that do not change the result of training: resources, paths, logging and evaluation.
FREE_KEYS = {
    "data.root", "data.images", "data.masks", "data.val_images", "data.val_masks", "data.test_images",
    "data.test_masks", "data.workers", "training.log_every", "training.checkpoint_seconds",
    "training.deterministic",
    "evaluation.split", "evaluation.every", "evaluation.batch", "evaluation.mode", "evaluation.overlap",
    "evaluation.flip", "evaluation.scales", "evaluation.checkpoint", "evaluation.diagnosis",
    "subclasses.batch",
}  # fmt: skip

# Of these, the keys that pseudo masks depend on: fixed from the first labelling stage to the end of training.
LABEL_KEYS = {"evaluation.mode", "evaluation.overlap", "evaluation.flip", "evaluation.scales"}


def open_run(path: Path | str) -> Run:
    """Open a run folder for reading.

    Raises:
        RunError: If the folder is not a run folder.
    """
    path = Path(path)
    if not (path / "dataset.json").exists():
        if (path / STAGES_FILE).exists():
            name = shlex.quote(str(path))
            raise RunError(
                f"{path / 'dataset.json'} is missing",
                hint=f"If images and masks are as before, `usrn fit {name}/recipe.toml --run {name}` "
                "writes it again; completed stages are skipped.",
            )
        near = sorted(str(found.parent) for found in path.glob("*/dataset.json")) if path.is_dir() else []
        raise RunError(
            f"{path} is not a run folder{'' if path.exists() else ': it does not exist'}",
            hint=f"Runs in it: {', '.join(near)}" if near else "`usrn fit RECIPE --run FOLDER` creates one.",
        )
    recipe = load_run_recipe(path / "recipe.toml")
    return Run(path, recipe, _stored_plan(path, recipe))


def _stored_plan(path: Path, recipe: Recipe) -> Mapping[str, Stage]:
    """Read the stages of a run folder; the first versions did not write `stages.json`."""
    if (path / STAGES_FILE).exists():
        return stage_folders(read_json(path / STAGES_FILE, stages_from_json))
    return stage_folders(stages_of_earlier_version(recipe))


@contextlib.contextmanager
def start_run(path: Path | str, recipe: Recipe, dataset: Dataset, stages: tuple[Stage, ...]) -> Iterator[Run]:
    """Create or resume a run folder, locked until the block ends.

    Args:
        path: Path of the run folder.
        recipe: Recipe of the run.
        dataset: Data set of the recipe.
        stages: Stages of the recipe's method.

    Raises:
        RunError: If the folder belongs to another recipe or data set, is not a run folder, or is used by
            another process.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and (_is_run(path) or not any(path.iterdir()))):
        raise RunError(f"{path} exists and is not a run folder", hint="Choose another folder: --run FOLDER")
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    with locked_folder(path):
        run = Run(path, _resolved(recipe), stage_folders(stages))
        _claim(run, dataset)
        remove_leftovers(path)
        yield run


def _is_run(path: Path) -> bool:
    """Whether a folder is a run, including one that was killed before `dataset.json` was written.

    `dataset.json` may have been deleted because it was damaged; it is written again.
    """
    if any((path / name).exists() for name in ("dataset.json", STAGES_FILE)):
        return True
    names = {file.name for file in path.iterdir()}
    return ".lock" in names and all(name == "recipe.toml" or name.startswith(".") for name in names)


def _claim(run: Run, dataset: Dataset) -> None:
    """Check that recipe and data set match the folder, then write them."""
    recipe_file, dataset_file = run.path / "recipe.toml", run.path / "dataset.json"
    started = any(run.stage(stage).exists() for stage in run.stages)
    if recipe_file.exists() and _has_stages(run.path):  # before the first stage, the recipe may be changed
        _check_same_recipe(run, load_run_recipe(recipe_file))
    if started and dataset_file.exists():
        check_same_data(run.path, run.data, dataset, run.fixed_lists)
    with atomic_path(recipe_file) as temporary:
        temporary.write_text(tomli_w.dumps(run.recipe.model_dump()), encoding="utf-8")
    write_json(dataset_file, describe(dataset))
    write_json(run.path / STAGES_FILE, stages_to_json(tuple(run.plan.values())))
    add_session(run.path)


def _has_stages(path: Path) -> bool:
    """Whether any stage was started in a run folder."""
    return any(folder.is_dir() and folder.name[0].isdigit() for folder in path.iterdir())


def _check_same_recipe(run: Run, stored: Recipe) -> None:
    before, now = flat_recipe(stored), flat_recipe(run.recipe)
    if not (run.path / STAGES_FILE).exists():
        raise RunError(
            f"{run.path} is a run of an earlier version and cannot be trained further",
            hint="`usrn evaluate`, `predict`, `export` and `report` can read it. To train, choose another "
            "folder: --run FOLDER",
        )
    free = FREE_KEYS - LABEL_KEYS if _is_labelling(run) else FREE_KEYS
    errors = [
        f"{key}: the run has {before.get(key)!r}, the recipe {now.get(key)!r}"
        for key in {**before, **now}
        if before.get(key) != now.get(key) and key not in free
    ]
    if errors:
        raise RunError(
            f"{run.path} is a run of another recipe",
            errors=errors,
            hint=f"Choose another folder: --run FOLDER; with --reuse {run.path} it takes over the stages "
            "that do not change. Or restore these keys to resume this run.",
        )


def _is_labelling(run: Run) -> bool:
    """Whether a labelling stage was started and not all stages are complete."""
    started = (isinstance(stage, Label) and run.stage(name).exists() for name, stage in run.plan.items())
    return any(started) and not all(map(run.is_complete, run.stages))


def flat_recipe(recipe: Recipe) -> dict[str, Any]:
    """Return the values of a recipe by `section.key`."""
    return {
        f"{section}.{key}": value
        for section, table in recipe.model_dump().items()
        for key, value in table.items()
    }


def _resolved(recipe: Recipe) -> Recipe:
    """Make paths absolute, so that the run can be read from any working directory."""
    root, weights = recipe.data.root, recipe.network.weights
    data = recipe.data.model_copy(update={"root": str(Path(root).expanduser().resolve()) if root else ""})
    file = weights if weights in ("imagenet", "none") else str(Path(weights).resolve())
    network = recipe.network.model_copy(update={"weights": file})
    return recipe.model_copy(update={"data": data, "network": network})
