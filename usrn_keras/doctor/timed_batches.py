"""Timing the input pipeline: batches of a recipe, or of images that are made for it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from usrn_keras.data import Batches, Dataset, Sample, WeakView
from usrn_keras.quiet import native_stderr_held
from usrn_keras.recipe import Recipe

SECONDS = 1.5
FILES, SIZE = 8, (512, 1024)  # of the made images, height and width
MADE = f"made JPEGs of {SIZE[1]} x {SIZE[0]}, crops of 320"


@contextlib.contextmanager
def made_batches(workers: int) -> Iterator[Batches]:
    """Batches of 4 + 4 images that are made for this, without memory for what is decoded."""
    with tempfile.TemporaryDirectory() as folder:
        samples = [_make(Path(folder), index) for index in range(FILES)]
        view = WeakView(crop_size=320, long_side=400)
        yield Batches(
            labelled=samples, unlabelled=samples, batch_labelled=4, batch_unlabelled=4,
            weak_labelled=view, weak_unlabelled=view, seed=0, workers=workers, cache_bytes=0,
        )  # fmt: skip


def recipe_batches(recipe: Recipe, dataset: Dataset) -> Batches:
    """The batches of USRN but for what the device adds: no backend is loaded, unless keras-cv makes views."""
    if recipe.views.strong == "keras_cv":
        with native_stderr_held():
            from usrn_keras.data.batches.build import build_batches

            batches = build_batches(recipe, dataset, unlabelled=True)
            batches.batch(0)  # loads TensorFlow, and traces
        return batches
    views, training = recipe.views, recipe.training
    weak = {"crop_size": views.crop_size, "long_side": views.long_side, "flip": views.flip}
    weak["ignore_index"] = dataset.ignore_index
    return Batches(
        labelled=dataset.labelled,
        unlabelled=dataset.unlabelled,
        batch_labelled=training.batch_labelled,
        batch_unlabelled=training.batch_unlabelled,
        weak_labelled=WeakView(scale=tuple(views.scale_labelled), **weak),
        weak_unlabelled=WeakView(scale=tuple(views.scale_unlabelled), **weak),
        ignore_index=dataset.ignore_index,
        id_map=dataset.id_map,
        colour_map=dataset.colour_map,
        num_classes=len(dataset.classes),
        seed=training.seed,
        workers=recipe.data.workers,
    )


def time_batches(batches: Batches, seconds: float = SECONDS) -> tuple[int, float]:
    """Images, and the seconds that they took; two batches at least."""
    images, started, spent = 0, time.perf_counter(), 0.0
    stream = batches.iterate(0, 10**6)
    with contextlib.closing(stream):
        for step, batch in enumerate(stream):
            images += len(batch["labelled"]) + len(batch.get("weak", ()))
            spent = time.perf_counter() - started
            if step and spent >= seconds:
                break
    return images, spent


def _make(folder: Path, index: int) -> Sample:
    """A photograph-like image, some noise upon large shapes, and its mask."""
    import cv2

    rng = np.random.default_rng(index)
    shapes = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)
    image = cv2.resize(shapes, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    noise = rng.normal(0, 6, (*SIZE, 1))
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    mask = cv2.resize(shapes[..., 0] // 32, SIZE[::-1], interpolation=cv2.INTER_NEAREST)
    sample = Sample(str(index), folder / f"{index}.jpg", folder / f"{index}.png")
    cv2.imwrite(str(sample.image), image)
    cv2.imwrite(str(sample.mask), mask)
    return sample
