"""Run folder of one fit: recipe, data set, completed stages, lock."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w

from usrn_keras.data import Dataset
from usrn_keras.errors import RunError
from usrn_keras.files import atomic_path, read_json, remove_leftovers, storage_errors, write_json
from usrn_keras.recipe import Recipe, load_run_recipe
from usrn_keras.recipe.old_keys import stages_of_earlier_version
from usrn_keras.recipe.stage_plan import (
    Cluster,
    Label,
    Stage,
    Train,
    stage_folders,
    stages_from_json,
    stages_to_json,
)
from usrn_keras.runs.environment import add_session
from usrn_keras.runs.folder_lock import locked_folder
from usrn_keras.runs.identity import check_same_data, describe
from usrn_keras.runs.log import MetricsLog
from usrn_keras.runs.products import ChangedProduct, changed_products, describe_products
from usrn_keras.runs.run_files import (
    BestWeights,
    DatasetFile,
    StageFacts,
    as_written,
    evaluation_results,
)

STAGES_FILE = "stages.json"
EVALUATION = ""  # in the place of a stage: its `complete.json` is that of the run folder

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


@dataclass(frozen=True)
class Run:
    """A run folder with its recipe and stages.

    Attributes:
        path: Path of the run folder.
        recipe: Recipe of the run, with absolute paths.
        plan: Stages of the method, by the name of their folders.
    """

    path: Path
    recipe: Recipe
    plan: Mapping[str, Stage]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(self.data["classes"])

    @property
    def palette(self) -> np.ndarray:
        """Colour of each class, uint8 of shape `(classes, 3)`."""
        return np.array(self.data["palette"], dtype=np.uint8)

    @property
    def stages(self) -> tuple[str, ...]:
        """Folder names of the stages, in order."""
        return tuple(self.plan)

    @property
    def training_stages(self) -> dict[str, Train]:
        """Training stages by folder name."""
        return {folder: stage for folder, stage in self.plan.items() if isinstance(stage, Train)}

    @property
    def cluster_stage(self) -> str:
        """Folder name of the clustering stage; empty for a method without subclasses."""
        return next((folder for folder, stage in self.plan.items() if isinstance(stage, Cluster)), "")

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models of the complete run, the final model last."""
        return tuple(stage.name for stage in self.training_stages.values())

    @property
    def titles(self) -> dict[str, str]:
        """Titles of the models in tables and reports, by name."""
        return {stage.name: stage.title for stage in self.training_stages.values()}

    @property
    def subclasses_are_complete(self) -> bool:
        """Whether the run has a complete clustering stage."""
        return bool(self.cluster_stage) and self.is_complete(self.cluster_stage)

    @property
    def compared_models(self) -> tuple[str, ...]:
        """Models of reports and tables: the first and the final one, without the rounds between them."""
        return tuple(dict.fromkeys((self.models[0], self.models[-1])))

    def folder_of(self, name: str) -> str:
        """Return the folder name of the stage of any kind with this name."""
        return next(folder for folder, stage in self.plan.items() if stage.name == name)

    def stage_of(self, model: str) -> str:
        """Return the folder name of the stage that trains a model.

        Args:
            model: Name of the model.
        """
        return next(folder for folder, stage in self.training_stages.items() if stage.name == model)

    @property
    def data(self) -> dict[str, Any]:
        """Description of the data set at the start of the run; see `identity.describe`."""
        return read_json(self.path / "dataset.json", as_written(DatasetFile))

    @property
    def model_path(self) -> Path:
        """Path of the final model with the weights selected by `evaluation.checkpoint`."""
        return self.model_file(self.models[-1], self.recipe.evaluation.checkpoint)

    def model_file(self, model: str, checkpoint: str = "last") -> Path:
        """Return the path of the `.keras` file of a model.

        Args:
            model: Name of the model.
            checkpoint: Weights to load: `last`, or `best` on val.

        Raises:
            RunError: If the model is not trained yet, or its best weights were not kept.
        """
        if model not in self.models:
            raise RunError(
                f"{self.path} has no {model} model: with training.method = "
                f"{self.recipe.training.method!r} it has {', '.join(self.models)}",
                hint=f"Choose one of them, for example --model {self.models[-1]}",
            )
        path = self.model_folder(model) / f"{'model' if checkpoint == 'last' else 'best'}.keras"
        if path.exists():
            self._check_size(path)
            return path
        if checkpoint == "best" and self.model_folder(model).joinpath("model.keras").exists():
            raise RunError(
                f"{self.path} has no best weights of its {model} model, because it was trained with "
                "evaluation.every = 0",
                hint="Use the last weights: --checkpoint last. To keep the best weights, train with "
                "--set evaluation.every=N.",
            )
        if self.is_complete(self.stage_of(model)):
            raise RunError(
                f"{path} is missing, although its stage is complete",
                hint=f"Rebuild it from the checkpoint: {self._fit_command}",
            )
        raise RunError(
            f"{self.path} has no {model} model yet; completed stages: {self._progress() or 'none'}",
            hint=f"Resume the run: {self._fit_command}",
        )

    def _check_size(self, path: Path) -> None:
        """Raise a `RunError` if a model has another size than when its stage was complete.

        Its content is checked when it is unpacked; `usrn fit` and `usrn runs check` compare the hash.
        """
        for stage in filter(self.is_complete, self.stages):
            try:
                known = self.facts(stage).get("products", {}).get(path.relative_to(self.path).as_posix())
            except RunError:  # the model does not depend on this file
                continue
            if known and (size := path.stat().st_size) != known["size"]:
                raise RunError(
                    f"{path} is damaged: it has {size} bytes instead of {known['size']}",
                    hint=f"Rebuild it from the checkpoint: {self._fit_command}",
                )

    @property
    def _fit_command(self) -> str:
        return f"usrn fit {shlex.quote(str(self.path / 'recipe.toml'))} --run {shlex.quote(str(self.path))}"

    def has_best(self, model: str) -> bool:
        """Whether the run has the best weights of a model."""
        return (self.model_folder(model) / "best.keras").exists()

    def model_folder(self, model: str) -> Path:
        """Return the folder of a model: the run folder for the final model, else the stage folder."""
        _, *later = self.models
        return self.path if later and model == later[-1] else self.stage(self.stage_of(model))

    def checkpoint_name(self, model: str, checkpoint: str) -> str:
        """Describe a checkpoint: `last`, or `best` with its step."""
        if checkpoint == "last":
            return checkpoint
        return f"best (step {self.best_record(model)['step']})"

    def best_record(self, model: str) -> dict[str, Any]:
        """Return the content of `best.json` beside the best weights of a model."""
        return read_json(self.model_folder(model) / "best.json", as_written(BestWeights))

    @property
    def evaluation_file(self) -> Path:
        """Path of the scores of the models; exists once they are evaluated."""
        return self.path / "evaluation.json"

    @property
    def results(self) -> dict[str, Any]:
        """Content of `evaluation.json`: `scores` of the models, and how they were measured."""
        return read_json(self.evaluation_file, evaluation_results)

    def stage(self, name: str) -> Path:
        """Return the folder of a stage."""
        return self.path / name

    def log(self, stage: str) -> MetricsLog:
        """Return the metrics log of a stage."""
        return MetricsLog(self.path, stage)

    def is_complete(self, stage: str) -> bool:
        """Whether a stage is complete."""
        return (self.stage(stage) / "complete.json").exists()

    def complete(self, stage: str, products: Iterable[Path] = (), **facts: Any) -> None:
        """Mark a stage as complete, and store facts about it.

        Args:
            stage: Folder name of the stage, or `EVALUATION`.
            products: Files that it has made; their sizes and hashes are stored.
            **facts: JSON values.
        """
        described = describe_products(self.path, products)
        write_json(self.stage(stage) / "complete.json", {**facts, "products": described})

    def changed_products(self, stage: str, *, hashes: bool = True) -> list[ChangedProduct]:
        """List the products of a complete stage that are missing or have changed since.

        Args:
            stage: Folder name of the stage, or `EVALUATION`.
            hashes: Whether to compare the content and not only the size.

        Raises:
            RunError: `complete.json` is damaged.
        """
        return changed_products(self.path, self.facts(stage).get("products", {}), hashes=hashes)

    def product_changed(self, stage: str, file: Path) -> None:
        """Store size and hash of a product that was written again, if its stage is complete.

        Args:
            stage: Folder name of the stage, or `EVALUATION`.
            file: The product.
        """
        if self.is_complete(stage):
            facts = self.facts(stage)
            products = facts.pop("products", {}) | describe_products(self.path, [file])
            write_json(self.stage(stage) / "complete.json", {**facts, "products": products})

    def facts(self, stage: str, *required: str) -> dict[str, Any]:
        """Return the facts that were stored by `complete`.

        Args:
            stage: Folder name of a complete stage.
            *required: Facts that must be there.
        """

        def parse(value: Any) -> dict[str, Any]:
            facts = as_written(StageFacts)(value)
            return {key: facts[key] for key in (*required, *facts)}

        return read_json(self.stage(stage) / "complete.json", parse)

    @property
    def fixed_lists(self) -> tuple[str, ...]:
        """Lists whose files must not change; none before the Baseline is complete."""
        return ("labelled",) if self.is_complete(self.stages[0]) else ()

    def _progress(self) -> str:
        return ", ".join(stage for stage in self.stages if self.is_complete(stage))


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
