"""What a recipe needs: that it can be read, its images, weights, packages and space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from usrn_keras.data import Dataset, Sample, image_size, load_dataset
from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.load import layout_help
from usrn_keras.data.sample import PARTS
from usrn_keras.doctor.findings import Finding
from usrn_keras.doctor.request import Request
from usrn_keras.doctor.weights import source_of_weights
from usrn_keras.errors import BackendError, DataError, RecipeError, StorageError, USRNError
from usrn_keras.recipe import Recipe
from usrn_keras.subclasses.feature_store import check_space, in_words
from usrn_keras.subclasses.features import feature_size

LOOKED_AT = 100  # images whose sizes stand for all


@dataclass(frozen=True, eq=False)
class RecipeSection:
    """A recipe.

    Args:
        source: As it was given.
        recipe: None where it cannot be read.
        dataset: What of its data set can be used; None where that cannot be listed.
        weights: Where its pretrained weights come from, in words.
        features: Space that the features will take at most, in words; "" where unknown.
        found: What is wrong.
    """

    source: str
    recipe: Recipe | None
    dataset: Dataset | None
    weights: str
    features: str
    found: tuple[Finding, ...]
    title = "recipe"

    @property
    def usable(self) -> bool:
        """Whether its batches can be made."""
        can_load = all(finding.error is not BackendError for finding in self.found)
        return can_load and bool(self.dataset and self.dataset.labelled and self.dataset.unlabelled)

    def lines(self) -> list[str]:
        """The data set, weights and space."""
        if self.recipe is None:
            return [f"{self.source} cannot be read"]
        return [
            f"{self.source}: {self._images()}",
            f"weights of {self.recipe.network.backbone}: {self.weights}",
            *([f"features of the labelled images: at most {self.features}"] if self.features else []),
        ]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "source": self.source,
            "readable": self.recipe is not None,
            "images": {part: len(getattr(self.dataset, part)) for part in PARTS} if self.dataset else None,
            "weights": self.weights,
            "features": self.features,
        }

    def findings(self) -> list[Finding]:
        """What is wrong."""
        return list(self.found)

    def _images(self) -> str:
        if self.dataset is None:
            return "its data set cannot be listed"
        return ", ".join(f"{len(getattr(self.dataset, part))} {part}" for part in PARTS) + " images"


def look_at_recipe(request: Request, tensorflow_error: str = "") -> RecipeSection:
    """Everything about a recipe that can be known without a backend.

    Args:
        request: Names it; its data set is listed, and none of its images is decoded.
        tensorflow_error: Why TensorFlow cannot be loaded, or "".
    """
    source = request.recipe
    try:
        recipe = Recipe.load(source, list(request.overrides))
    except RecipeError as error:
        return RecipeSection(source, None, None, "", "", (finding_of("recipe", error),))
    found: list[Finding] = []
    dataset = _dataset(recipe, source, found)
    weights = source_of_weights(recipe, found)
    _packages(recipe, tensorflow_error, found)
    features = ""
    if dataset and dataset.labelled:
        features = _features(recipe, dataset.labelled, request.run_folder(recipe.name), found)
    return RecipeSection(source, recipe, dataset, weights, features, tuple(found))


def finding_of(name: str, error: USRNError) -> Finding:
    """An error that training would stop with, as a finding."""
    return Finding(name, error.message, error.hint, error.faults, error=type(error))


def _dataset(recipe: Recipe, source: str, found: list[Finding]) -> Dataset | None:
    faults = Faults()
    try:
        dataset = load_dataset(recipe.data, faults=faults)
    except USRNError as error:  # such as a cache that cannot be written
        found.append(finding_of("data", error))
        return None
    if faults.lines:
        advice = f"usrn data check {source}   (after that, it reads every file)\n{layout_help(recipe.data)}"
        found.append(Finding("data", "the data set cannot be used", advice, faults.lines, error=DataError))
    return dataset


def _packages(recipe: Recipe, tensorflow_error: str, found: list[Finding]) -> None:
    """keras-cv and TensorFlow, which only some recipes need."""
    asked = {
        "network.architecture": recipe.network.architecture.startswith("keras_cv/"),
        "network.backbone": recipe.network.backbone.startswith("keras_cv/"),
        "views.strong": recipe.views.strong == "keras_cv",
    }
    missing = [f"{name} cannot be found" for name in ("keras_cv", "tensorflow") if find_spec(name) is None]
    if tensorflow_error:
        missing.append(f"tensorflow does not work: {tensorflow_error}")
    keys = " and ".join(key for key, asks in asked.items() if asks)
    if keys and missing:
        message = f"{keys}: keras-cv and tensorflow are needed, but {' and '.join(missing)}"
        command = "pip install --force-reinstall" if tensorflow_error else "pip install"
        advice = f'{command} keras-cv tensorflow, or choose keras/... and views.strong = "device"'
        found.append(Finding("keras_cv_missing", message, advice, error=BackendError))


def _features(recipe: Recipe, labelled: Sequence[Sample], run_dir: Path, found: list[Finding]) -> str:
    """Space for the features of all pixels, from the sizes of some images; "" where these cannot be read."""
    looked_at = labelled[:: -(-len(labelled) // LOOKED_AT)]
    try:
        sizes = [feature_size(image_size(sample.image)) for sample in looked_at]
    except DataError:
        return ""  # reading the batches will say so
    rows = sum(height * width for height, width in sizes) * len(labelled) // len(looked_at)
    channels = recipe.network.decoder_channels
    try:
        return check_space(run_dir, rows, channels, stored=0)
    except StorageError as error:
        advice = "free space, --run DIR on another disk, or --set subclasses.rows_per_image=2000"
        found.append(Finding("features_space", error.message, advice))
        return in_words(rows * channels * 2)
