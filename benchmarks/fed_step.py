"""Worker of `idle_share.py`: steps of the last stage of a recipe on its images, and their wait for batches.

The network has random weights, and the subclasses, as many as in the recipe, are stripes: no other stage is
trained first.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from benchmarks.devices import device_of
from benchmarks.worker import serve
from usrn_keras.backends import CompiledStep, prepare_backend
from usrn_keras.data import Dataset, Sample, load_dataset, read_mask
from usrn_keras.data.batches.recipe_batches import build_batches
from usrn_keras.methods import stages_of
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import Train
from usrn_keras.stages.build import build_method
from usrn_keras.subclasses import SubclassMap, subclass_counts, sublabel_file
from usrn_keras.subclasses.sublabel_maps import write_sublabels

STRIPE = 16  # pixels


class FedStep:
    """The method of a recipe, its batches, and the seconds of both."""

    def __init__(self, options: dict):
        prepare_backend()
        backend = keras.backend.backend()
        self._device = device_of(backend, options["device"])
        recipe = load_recipe(options["recipe"], options["set"])
        dataset = load_dataset(recipe.data)
        folder = Path(options["folder"])
        subclasses, labelled = made_subclasses(dataset, recipe.subclasses.size_factor, folder)
        stage = [stage for stage in stages_of(recipe) if isinstance(stage, Train)][-1]
        method = build_method(recipe, stage, dataset, subclasses, pretrained=False)
        self._step = CompiledStep(method)
        batches = build_batches(recipe, dataset, labelled, spec=method.inputs, parents=subclasses.parents)
        self._batches, self._ahead = batches.iterate(0, sys.maxsize), batches.prefetch
        self.facts = {
            "method": method.method_name,
            "backbone": recipe.network.backbone,
            "crop": recipe.views.crop_size,
            "batch": f"{recipe.training.batch_labelled} + {recipe.training.batch_unlabelled}",
            "subclasses": subclasses.total,
            "workers": recipe.data.workers,
            "precision": recipe.training.precision,
            "device": self._device.name(),
            "versions": f"keras {keras.__version__}, {backend} {sys.modules[backend].__version__}",
        }

    def round(self, steps: int) -> dict[str, list[float]]:
        """Seconds of the steps: `wait` for the batch, `work` on it, `held`: work on the last batch again."""
        for _ in range(self._ahead):  # batches that were made between the rounds
            self._work(next(self._batches))
        taken = {"wait": [], "work": []}
        for _ in range(steps):
            started = time.perf_counter()
            batch = next(self._batches)
            taken["wait"].append(time.perf_counter() - started)
            taken["work"].append(self._work(batch))
        return taken | {"held": [self._work(batch) for _ in range(steps)]}

    def _work(self, batch: dict[str, np.ndarray]) -> float:
        started = time.perf_counter()
        float(self._step(batch)["loss"])
        self._device.wait()
        return time.perf_counter() - started


def made_subclasses(
    dataset: Dataset, size_factor: float, folder: Path
) -> tuple[SubclassMap, tuple[Sample, ...]]:
    """Subclasses without features, and the labelled samples with sublabel files in `folder`."""
    masks = [read_mask(sample.mask, dataset).astype(np.int32) for sample in dataset.labelled]
    classes = len(dataset.classes)
    pixels = sum(np.bincount(mask[mask < classes], minlength=classes) for mask in masks)
    counts = subclass_counts(pixels, size_factor=size_factor)
    total, nothing = int(counts.sum()), np.zeros(classes)
    numbers = {"feature_pixels": nothing, "inertia": nothing, "prices": np.zeros(total)}
    sizes, centers = np.zeros(total), np.zeros((total, 1))
    subclasses = SubclassMap(dataset.classes, counts, sizes, centers, pixels, **numbers)
    samples = []
    for sample, mask in zip(dataset.labelled, masks, strict=True):
        samples.append(replace(sample, sublabels=sublabel_file(folder, sample)))
        samples[-1].sublabels.parent.mkdir(parents=True, exist_ok=True)
        write_sublabels(samples[-1].sublabels, stripes(mask, subclasses), total)
    return subclasses, tuple(samples)


def stripes(mask: np.ndarray, subclasses: SubclassMap) -> np.ndarray:
    """`(height, width)` int32: each class in upright stripes of its subclasses, -1 where ignored."""
    known = mask < len(subclasses.classes)
    labels = np.where(known, mask, 0)
    stripe = np.broadcast_to(np.arange(mask.shape[1]) // STRIPE, mask.shape)
    sublabels = subclasses.first[labels] + stripe % np.maximum(subclasses.counts[labels], 1)
    return np.where(known, sublabels, -1).astype(np.int32)


if __name__ == "__main__":
    serve(FedStep)
