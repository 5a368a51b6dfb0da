"""How many images per second are read and cut here, beside what a training step takes."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from usrn_keras.data import Batches, Dataset, Sample, WeakView
from usrn_keras.doctor.findings import Finding
from usrn_keras.doctor.known_rate import KnownRate
from usrn_keras.quiet import native_stderr_held
from usrn_keras.recipe import Recipe

SECONDS = 1.5
FILES, SIZE = 8, (512, 1024)  # of the made images, height and width
MADE = f"made JPEGs of {SIZE[1]} x {SIZE[0]}, crops of 320"
SPARE = 1.3  # times the rate of training: below that the device waits now and then
MANY = 8  # workers: more seldom help


@dataclass(frozen=True)
class PipelineSection:
    """The input pipeline.

    Args:
        source: What was read.
        images: So many.
        seconds: In so many.
        batch: Labelled and unlabelled images in a batch.
        workers: Threads that read.
        usable_cores: Threads that find a core.
        on_gpu: Whether a GPU trains, so that the cores are free for this.
        known: What training took in an earlier run of the recipe, or None.
        has_recipe: Whether workers and views are those of a recipe.
    """

    source: str
    images: int
    seconds: float
    batch: tuple[int, int]
    workers: int
    usable_cores: int
    on_gpu: bool = False
    known: KnownRate | None = None
    has_recipe: bool = False
    title = "input pipeline"

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    def lines(self) -> list[str]:
        """The rate, and what step it feeds."""
        labelled, unlabelled = self.batch
        workers = f"{self.workers} worker{'s' * (self.workers != 1)}"
        return [
            f"{self.rate:.0f} images/s with {workers} ({self.source}): "
            f"feeds a step of {labelled} + {unlabelled} images every {sum(self.batch) / self.rate:.2f} s",
            *([self.known.line()] if self.known else []),
        ]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            "source": self.source,
            "images_per_second": self.rate,
            "images": self.images,
            "workers": self.workers,
            "batch": list(self.batch),
            "training": asdict(self.known) if self.known else None,
        }

    def findings(self) -> list[Finding]:
        """Too few workers, or too many."""
        if not self.has_recipe:
            return []
        return [*self._slow(), *self._few(), *self._many()]

    def _slow(self) -> list[Finding]:
        if self.known is None or self.rate >= SPARE * self.known.images_per_second:
            return []
        message = (
            f"{self.rate:.0f} images/s are read, training took {self.known.images_per_second:.0f} in "
            f"{self.known.run}: it waits for images"
        )
        if self.workers < self._most():
            return [Finding("slow_pipeline", message, f"--set data.workers={self._most()}")]
        advice = "keep the image files no larger than views.long_side x views.scale_labelled[1], as JPEG"
        return [Finding("slow_pipeline", message, advice)]

    def _few(self) -> list[Finding]:
        if not self.on_gpu or self.workers >= self._most() or self._slow():
            return []
        message = (
            f"{self.workers} threads read images while a GPU trains and {self.usable_cores} cores are there"
        )
        return [Finding("few_workers", message, f"--set data.workers={self._most()}")]

    def _many(self) -> list[Finding]:
        if self.workers <= 2 * self.usable_cores:
            return []
        message = f"{self.workers} threads that read images share {self.usable_cores} cores"
        return [Finding("many_workers", message, f"--set data.workers={self.usable_cores}")]

    def _most(self) -> int:
        return min(MANY, self.usable_cores)


@dataclass(frozen=True)
class BrokenPipeline:
    """An input pipeline that could not be run."""

    finding: Finding
    title = "input pipeline"

    def lines(self) -> list[str]:
        """One."""
        return ["does not run"]

    def to_json(self) -> None:
        """Nothing was measured."""

    def findings(self) -> list[Finding]:
        """Why it could not."""
        return [self.finding]


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
