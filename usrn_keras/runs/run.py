"""Run folder of one fit: recipe, data set, completed stages, lock."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.errors import RunError
from usrn_keras.files import read_json, write_json
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import (
    Cluster,
    Stage,
    Train,
)
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
