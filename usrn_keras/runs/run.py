"""The folder of one fit: what was asked, what is complete, who is at work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import tomli_w

from usrn_keras.data import Dataset
from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path, read_json, remove_leftovers, storage_errors, write_json
from usrn_keras.recipe import Recipe, load_run_recipe
from usrn_keras.recipe.old_keys import stages_of_earlier_version
from usrn_keras.recipe.stage_plan import (
    Cluster,
    Stage,
    Train,
    stage_folders,
    stages_from_json,
    stages_to_json,
)
from usrn_keras.runs.environment import describe_environment
from usrn_keras.runs.identity import describe, refuse_other_data
from usrn_keras.runs.log import MetricsLog

STAGES_FILE = "stages.json"

# Keys that change how a run is computed, watched or measured, but not what it computes.
FREE_KEYS = {
    "data.root", "data.images", "data.masks", "data.val_images", "data.val_masks", "data.test_images",
    "data.test_masks", "data.workers", "training.log_every", "training.checkpoint_seconds",
    "evaluation.split", "evaluation.every", "evaluation.batch", "evaluation.mode", "evaluation.overlap",
    "evaluation.flip", "evaluation.scales", "evaluation.checkpoint", "evaluation.diagnosis",
    "subclasses.batch",
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run folder and the recipe that it holds.

    Attributes:
        path: The folder.
        recipe: The resolved recipe.
        plan: The stages that its method asked for, by the name of their folders.
    """

    path: Path
    recipe: Recipe
    plan: Mapping[str, Stage]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names by id."""
        return tuple(self.data["classes"])

    @property
    def palette(self) -> np.ndarray:
        """Colour of each class, `(classes, 3)` uint8."""
        return np.array(self.data["palette"], dtype=np.uint8)

    @property
    def stages(self) -> tuple[str, ...]:
        """Folders of the stages, in order."""
        return tuple(self.plan)

    @property
    def training_stages(self) -> dict[str, Train]:
        """The stages that train, by folder."""
        return {folder: stage for folder, stage in self.plan.items() if isinstance(stage, Train)}

    @property
    def cluster_stage(self) -> str:
        """Folder of the subclasses; empty for a method without any."""
        return next((folder for folder, stage in self.plan.items() if isinstance(stage, Cluster)), "")

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that it has once it is complete, the final one last."""
        return tuple(stage.name for stage in self.training_stages.values())

    @property
    def titles(self) -> dict[str, str]:
        """Headings of the models in tables and reports, by name."""
        return {stage.name: stage.title for stage in self.training_stages.values()}

    @property
    def subclasses_are_complete(self) -> bool:
        """Whether it has subclasses, and they are complete."""
        return bool(self.cluster_stage) and self.is_complete(self.cluster_stage)

    def stage_of(self, model: str) -> str:
        """Folder of the stage that trains a model.

        Args:
            model: Name of the model.
        """
        return next(folder for folder, stage in self.training_stages.items() if stage.name == model)

    @property
    def data(self) -> dict[str, Any]:
        """What its data set was when it began; see `identity.describe`."""
        return read_json(self.path / "dataset.json")

    @property
    def model_path(self) -> Path:
        """F of its last model, the weights that `evaluation.checkpoint` names; RunError without them."""
        return self.model_file(self.models[-1], self.recipe.evaluation.checkpoint)

    def model_file(self, model: str, checkpoint: str = "last") -> Path:
        """The `.keras` file of a model, with the `last` weights or the `best` on val.

        Args:
            model: Name of the model.
            checkpoint: `last` or `best`.

        Raises:
            RunError: The model is not trained yet, or its best weights were not kept.
        """
        if model not in self.models:
            raise RunError(
                f"{self.path} has no {model} model: with training.method = "
                f"{self.recipe.training.method!r} it has {', '.join(self.models)}",
                hint=f"Choose one of them: --model {self.models[-1]}",
            )
        path = self.model_folder(model) / f"{'model' if checkpoint == 'last' else 'best'}.keras"
        if path.exists():
            return path
        if checkpoint == "best" and self.model_folder(model).joinpath("model.keras").exists():
            raise RunError(
                f"{self.path} kept no best weights of its {model} model: when it was "
                "trained, evaluation.every was 0",
                hint="Take the last ones: --checkpoint last. evaluation.every above 0 keeps the best, too.",
            )
        raise RunError(
            f"{self.path} has no {model} model yet; complete: {self._progress() or 'no stage'}",
            hint=f"Resume the run: usrn fit {self.path / 'recipe.toml'} --run {self.path}",
        )

    def has_best(self, model: str) -> bool:
        """Whether the best weights of a model were kept."""
        return (self.model_folder(model) / "best.keras").exists()

    def model_folder(self, model: str) -> Path:
        """Folder of the weights of a model: the run itself for the final one, the stage for earlier ones."""
        _, *later = self.models
        return self.path if later and model == later[-1] else self.stage(self.stage_of(model))

    def checkpoint_name(self, model: str, checkpoint: str) -> str:
        """`last`, or `best` with the step that was best."""
        if checkpoint == "last":
            return checkpoint
        return f"best (step {read_json(self.model_folder(model) / 'best.json')['step']})"

    @property
    def evaluation_file(self) -> Path:
        """The scores of its models, once they are measured."""
        return self.path / "evaluation.json"

    def stage(self, name: str) -> Path:
        """Folder of a stage."""
        return self.path / name

    def log(self, stage: str) -> MetricsLog:
        """Where the numbers of a stage go."""
        return MetricsLog(self.path, stage)

    def is_complete(self, stage: str) -> bool:
        """Whether a stage has nothing left to do."""
        return (self.stage(stage) / "complete.json").exists()

    def complete(self, stage: str, **facts: Any) -> None:
        """Mark a stage as complete, with facts about it."""
        write_json(self.stage(stage) / "complete.json", facts)

    def facts(self, stage: str) -> dict[str, Any]:
        """What `complete` was told."""
        return read_json(self.stage(stage) / "complete.json")

    @property
    def learnt_from(self) -> tuple[str, ...]:
        """Lists whose files may not change: until the Baseline is complete, one may have been unreadable."""
        return ("labelled",) if self.is_complete(self.stages[0]) else ()

    def _progress(self) -> str:
        return ", ".join(stage for stage in self.stages if self.is_complete(stage))


def open_run(path: Path | str) -> Run:
    """A run folder to read from.

    Raises:
        RunError: The folder is no run.
    """
    path = Path(path)
    if not (path / "dataset.json").exists():
        near = sorted(str(found.parent) for found in path.glob("*/dataset.json")) if path.is_dir() else []
        raise RunError(
            f"{path} is no run folder{'' if path.exists() else ': it does not exist'}",
            hint=f"Runs in it: {', '.join(near)}" if near else "usrn fit RECIPE --run FOLDER makes one.",
        )
    recipe = load_run_recipe(path / "recipe.toml")
    return Run(path, recipe, _stored_plan(path, recipe))


def _stored_plan(path: Path, recipe: Recipe) -> Mapping[str, Stage]:
    """The stages that a run folder names; the first versions wrote no file of them."""
    if (path / STAGES_FILE).exists():
        return stage_folders(stages_from_json(read_json(path / STAGES_FILE)))
    return stage_folders(stages_of_earlier_version(recipe))


@contextlib.contextmanager
def start_run(path: Path | str, recipe: Recipe, dataset: Dataset, stages: tuple[Stage, ...]) -> Iterator[Run]:
    """A run folder to work in, new or resumed, locked until the block ends.

    Args:
        path: The folder.
        recipe: The recipe of the run.
        dataset: The data set of the recipe.
        stages: The stages that the method of the recipe asks for.

    Raises:
        RunError: The folder holds another recipe, another data set, something that is no run,
            or another process is at work in it.
    """
    path = Path(path)
    if path.exists() and not (path.is_dir() and (_is_run(path) or not any(path.iterdir()))):
        raise RunError(f"{path} exists and is no run folder", hint="Choose another folder: --run FOLDER")
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(path / ".lock", timeout=0)
    try:
        with storage_errors(path):
            lock.acquire()
    except filelock.Timeout:
        raise RunError(
            f"another process is at work in {path}",
            hint="Wait for it, or choose another folder: --run FOLDER",
        ) from None
    try:
        run = Run(path, _resolved(recipe), stage_folders(stages))
        _claim(run, dataset)
        remove_leftovers(path)
        yield run
    finally:
        lock.release()


def _is_run(path: Path) -> bool:
    """Also one that was killed before it said what it is about; a folder with a recipe in it is none."""
    if (path / "dataset.json").exists():
        return True
    names = {file.name for file in path.iterdir()}
    return ".lock" in names and all(name == "recipe.toml" or name.startswith(".") for name in names)


def _claim(run: Run, dataset: Dataset) -> None:
    """Check that the folder is about the same, and write what it is about; refused, it stays as it was."""
    recipe_file, dataset_file = run.path / "recipe.toml", run.path / "dataset.json"
    begun = any(run.stage(stage).exists() for stage in run.stages)
    if recipe_file.exists() and _has_stages(run.path):  # a recipe that trained nothing yet may be corrected
        _refuse_other_recipe(run, load_run_recipe(recipe_file))
    if begun and dataset_file.exists():
        refuse_other_data(run.path, run.data, dataset, run.learnt_from)
    with atomic_path(recipe_file) as temporary:
        temporary.write_text(tomli_w.dumps(run.recipe.model_dump()), encoding="utf-8")
    write_json(dataset_file, describe(dataset))
    write_json(run.path / STAGES_FILE, stages_to_json(tuple(run.plan.values())))
    environment_file = run.path / "environment.json"
    sessions = read_json(environment_file) if environment_file.exists() else []
    write_json(environment_file, [*sessions, describe_environment()])


def _has_stages(path: Path) -> bool:
    """Whether a stage of whatever method has begun in a run folder."""
    return any(folder.is_dir() and folder.name[0].isdigit() for folder in path.iterdir())


def _refuse_other_recipe(run: Run, stored: Recipe) -> None:
    before, now = flat_recipe(stored), flat_recipe(run.recipe)
    if not (run.path / STAGES_FILE).exists():
        raise RunError(
            f"{run.path} is the run of an earlier version",
            hint="It can be evaluated, predicted with, exported and reported. To train, choose another "
            "folder: --run FOLDER",
        )
    faults = [
        f"{key}: the run has {before.get(key)!r}, the recipe {now.get(key)!r}"
        for key in {**before, **now}
        if before.get(key) != now.get(key) and key not in FREE_KEYS
    ]
    if faults:
        raise RunError(
            f"{run.path} is the run of another recipe",
            faults=faults,
            hint="Choose another folder: --run FOLDER",
        )


def flat_recipe(recipe: Recipe) -> dict[str, Any]:
    """The values of a recipe by `section.key`."""
    return {
        f"{section}.{key}": value
        for section, table in recipe.model_dump().items()
        for key, value in table.items()
    }


def _resolved(recipe: Recipe) -> Recipe:
    """Paths made absolute, so that the run can be read from any folder."""
    root, weights = recipe.data.root, recipe.network.weights
    data = recipe.data.model_copy(update={"root": str(Path(root).expanduser().resolve()) if root else ""})
    file = weights if weights in ("imagenet", "none") else str(Path(weights).resolve())
    network = recipe.network.model_copy(update={"weights": file})
    return recipe.model_copy(update={"data": data, "network": network})
