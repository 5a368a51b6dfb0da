"""How many images per second are read and cut here, beside what a training step takes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from usrn_keras.doctor.findings import Finding
from usrn_keras.doctor.known_rate import KnownRate

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
