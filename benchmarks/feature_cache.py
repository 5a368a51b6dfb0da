"""Training on the features of a frozen backbone: kept in files, computed in every step, or from pixel crops.

    python benchmarks/feature_cache.py camvid_1_16 --images 40 --steps 20 --set data.root=DATA

Prints a JSON object for each of three ways to train a recipe with a frozen backbone: `cached_features`,
`features` (the same views, computed again in every step), and `images` (crops of pixels through the frozen
backbone, whose views are others). Steps of the three alternate, so that other work on the machine slows all
of them; seconds of the processor leave out the waiting, but count the threads that read batches ahead. Losses
of the first two are to agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from usrn_keras.backends import CompiledStep, prepare_backend
from usrn_keras.data import load_dataset
from usrn_keras.data.batches.feature_files import FeatureFiles
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.progress import terminal_progress
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.stages.backbone_features import (
    ComputedFeatures,
    KeptFeatures,
    feature_stride,
    fill,
    view_of,
)
from usrn_keras.stages.build import build_method

SOURCES = ("cached_features", "features", "images")


class Trainer:
    """A method of a recipe, and its batches from one source."""

    def __init__(self, recipe, dataset, source: str, folder: Path):
        stage = Train("self_training", "", "self_training", 1000, "", recipe.training.learning_rate)
        self.method = build_method(recipe, stage, dataset)
        branch, options, self.facts = self.method.branch, {}, {"source": source}
        if source != "images":
            features = computed = ComputedFeatures(branch, view_of(recipe, branch))
            options = {"stride": feature_stride(branch)}
            if source == "cached_features":
                features = self._kept(folder, dataset, computed, branch)
            options["features"] = features
        self._batches = build_batches(recipe, dataset, spec=self.method.inputs, **options)
        self._stream = self._batches.iterate(0, 10**6)
        self._step = CompiledStep(self.method)
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def _kept(self, folder: Path, dataset, computed: ComputedFeatures, branch) -> KeptFeatures:
        files, started = FeatureFiles(folder, "benchmark"), time.perf_counter()
        with terminal_progress() as progress:
            fill(files, [*dataset.labelled, *dataset.unlabelled], computed, branch, progress)
        self.facts["seconds_to_fill"] = round(time.perf_counter() - started, 1)
        self.facts["bytes_on_disk"] = sum(file.stat().st_size for file in folder.iterdir())
        return KeptFeatures(files)

    def train(self) -> None:
        """Take a batch and run a step."""
        started, cpu = time.perf_counter(), time.process_time()
        self.losses.append(float(self._step(next(self._stream))["loss"]))
        self.seconds.append(time.perf_counter() - started)
        self.cpu_seconds.append(time.process_time() - cpu)


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", help="Recipe, without options of a method.")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="Override a key.")
    parser.add_argument("--images", type=int, default=40, help="Number of unlabelled images to use.")
    parser.add_argument("--steps", type=int, default=20, help="Number of steps of each way.")
    options = parser.parse_args()
    prepare_backend()
    common = ["network.frozen=backbone", "training.method=self_training", "training.start=imagenet"]
    features = ["views.strong=feature_dropout", "views.scale_labelled=[1.0, 1.0]"]
    features.append("views.scale_unlabelled=[1.0, 1.0]")
    recipes = {
        source: load_recipe(
            options.recipe,
            [*options.set, *common, *(features if source != "images" else ()), f"views.source={source}"],
        )
        for source in SOURCES
    }
    dataset = load_dataset(recipes["images"].data)
    dataset = replace(dataset, unlabelled=dataset.unlabelled[: options.images])
    with tempfile.TemporaryDirectory() as folder:
        trainers = {s: Trainer(recipe, dataset, s, Path(folder)) for s, recipe in recipes.items()}
        for _ in range(options.steps):
            for trainer in trainers.values():
                trainer.train()
        for trainer in trainers.values():
            facts = trainer.facts | {"images": len(dataset.labelled) + len(dataset.unlabelled)}
            facts |= {"seconds_per_step": round(median(trainer.seconds[1:]), 4)}
            facts |= {"cpu_seconds_per_step": round(median(trainer.cpu_seconds[1:]), 4)}
            facts |= {"losses": trainer.losses[:5]}
            print(json.dumps(facts))
        kept, computed = (np.array(trainers[s].losses) for s in SOURCES[:2])
        print(json.dumps({"largest_difference_of_losses": float(np.abs(kept - computed).max())}))


if __name__ == "__main__":
    main()
