"""Memory and time of training a recipe, extrapolated from measured steps for `usrn fit --dry-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usrn_keras.budget.step_sizes import StepSizes, settings, smaller_sizes

FACTORS = (0.25, 0.5, 1, 2, 4)  # batches in the table, as multiples of the recipe's batch
FLOAT_BYTES = 4


@dataclass(frozen=True)
class MeasuredStep:
    """Measurement of a training step. Memory is that of the whole process, or on a GPU what was allocated.

    Args:
        sizes: Sizes of the step.
        peak: Peak memory of a step in bytes, without compilation.
        seconds: Time of a step in seconds, without compilation.
        first_peak: Peak memory of the first step in bytes, with compilation.
        held: Memory in bytes before the first step.
    """

    sizes: StepSizes
    peak: int
    seconds: float
    first_peak: int = 0
    held: int = 0


@dataclass(frozen=True)
class Extrapolation:
    """Predictions from measured steps.

    Memory and time are assumed to grow linearly with the pixels in a batch. This holds for convolutions at a
    fixed crop; attention grows faster with the crop, so predictions for another crop are rough. From one
    measured step, predictions for larger steps are upper estimates, as fixed costs are taken to grow as well.
    Memory for compilation does not grow.

    Args:
        steps: Measured steps of one crop, the smallest first; empty if even the smallest ran out of memory.
        failed: Smallest sizes that ran out of memory, or None.
        room: Memory available to training in bytes, or None if unknown.
        trainable: Number of trainable parameters; accumulation stores one more float per parameter.
        kept_images: Bytes of decoded images that training keeps in memory, unlike the measured steps.

    Example:

    >>> one, two = StepSizes(2, 2, 64), StepSizes(4, 4, 64)
    >>> steps = [MeasuredStep(one, 300, 1.0), MeasuredStep(two, 400, 1.5)]
    >>> found = Extrapolation(steps, room=550)
    >>> found.peak(StepSizes(8, 8, 64)), found.seconds(StepSizes(8, 8, 64)), found.fits(StepSizes(8, 8, 64))
    (600.0, 2.5, False)
    """

    steps: Sequence[MeasuredStep]
    failed: StepSizes | None = None
    room: int | None = None
    trainable: int = 0
    kept_images: int = 0

    def peak(self, sizes: StepSizes) -> float | None:
        """Predict peak memory in bytes; None if it cannot be predicted."""
        if not self.steps or self._is_too_large(sizes):
            return None
        first = self.steps[0]
        line = self._line(sizes, [step.peak for step in self.steps], first.held)
        accumulates = sizes.accumulation > 1 and first.sizes.accumulation == 1
        return max(first.first_peak, line + FLOAT_BYTES * self.trainable * accumulates + self.kept_images)

    def seconds(self, sizes: StepSizes) -> float | None:
        """Predict the seconds of a step; None if they cannot be predicted."""
        if not self.steps or self._is_too_large(sizes):
            return None
        return self._line(sizes, [step.seconds for step in self.steps], 0.0)

    def fits(self, sizes: StepSizes) -> bool | None:
        """Predict whether a step fits into memory; None if unknown."""
        if self._is_too_large(sizes):
            return False
        peak = self.peak(sizes)
        return None if peak is None or self.room is None else peak <= self.room

    def _is_too_large(self, sizes: StepSizes) -> bool:
        return self.failed is not None and sizes.pixels >= self.failed.pixels

    def _line(self, sizes: StepSizes, values: Sequence[float], without_images: float) -> float:
        """The line through the values of two measured steps, or of one and of a step without images."""
        pixels = [step.sizes.pixels for step in self.steps]
        if len(pixels) == 1:
            pixels, values = [0, *pixels], [without_images, *values]
        # A larger step that took less than a smaller one is measurement noise.
        slope = max(0.0, (values[-1] - values[0]) / (pixels[-1] - pixels[0]))
        return max(0.0, values[0] + slope * (sizes.pixels - pixels[0]))


@dataclass(frozen=True)
class DataFacts:
    """Facts about the data of a recipe before training.

    Args:
        name: Name of the recipe.
        images: Number of images of each list; empty if the data set is missing.
        classes: Number of classes.
        classes_from: Source of the number of classes.
        subclasses: Number of subclasses K.
        subclasses_from: Source of the number of subclasses.
        notes: Missing facts, and the assumptions made instead.
    """

    name: str
    images: dict[str, int]
    classes: int
    classes_from: str
    subclasses: int
    subclasses_from: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BatchRow:
    """A row of the table of batches.

    Args:
        sizes: Sizes of the step.
        peak: Predicted peak memory in bytes; None if unknown.
        seconds: Predicted time of a step in seconds; None if unknown.
        fits: Whether the step fits into memory; None if unknown.
    """

    sizes: StepSizes
    peak: float | None
    seconds: float | None
    fits: bool | None


@dataclass(frozen=True)
class Budget:
    """Memory and time of training a recipe on this machine.

    Args:
        facts: Facts about the data.
        device: Training device: `backend`, `gpu`, and `room`, the available bytes or None.
        sizes: Sizes of a step of the recipe.
        parts: Parts of the network as rows `network, branch, part, shape, trained, not_trained`: output shape
            `(height, width, channels)` for one image, and numbers of parameters; parameters that are not
            trained are fixed, or moving statistics.
        flops: Operations of a step of each training stage, by view.
        stage: Measured training stage, the one with the most operations.
        measured: Measured steps of that stage.
        failed: Sizes of the step that ran out of memory when measured, or None.
        peak: Predicted peak memory in bytes of a step of the recipe; None if unknown.
        seconds: Predicted seconds of a step of each training stage, scaled by operations for stages that were
            not measured. Empty if unknown.
        hours: Predicted hours of all training steps, without clustering and evaluation; None if unknown.
        table: Predictions for other batches.
        fits: Whether the recipe fits into memory; None if unknown.
        advice: Values of `--set` that make the recipe fit; empty if it fits, or if no smaller step fits.
    """

    facts: DataFacts
    device: dict[str, Any]
    sizes: StepSizes
    parts: tuple[dict[str, Any], ...]
    flops: dict[str, dict[str, int]]
    stage: str
    measured: tuple[MeasuredStep, ...]
    failed: StepSizes | None
    peak: float | None
    seconds: dict[str, float]
    hours: float | None
    table: tuple[BatchRow, ...]
    fits: bool | None
    advice: tuple[str, ...]


def make_budget(
    facts: DataFacts,
    network: Mapping[str, Any],
    found: Extrapolation,
    sizes: StepSizes,
    *,
    steps: Mapping[str, int],
    step_keys: dict[str, int],
) -> Budget:
    """Extrapolate measured steps to a recipe.

    Args:
        facts: Facts about the data.
        network: Values of `device`, `parts`, `flops` and `stage` of the budget.
        found: Extrapolation of the measured steps.
        sizes: Sizes of a step of the recipe.
        steps: Number of steps of each training stage.
        step_keys: Recipe keys that set numbers of steps, with their values.
    """
    step_seconds = found.seconds(sizes)
    operations = {stage: sum(views.values()) for stage, views in network["flops"].items()}
    seconds = {}
    if step_seconds is not None:
        of_one = step_seconds / operations[network["stage"]]
        seconds = {stage: count * of_one for stage, count in operations.items()}
    fits = found.fits(sizes)
    fitting = smaller_sizes(sizes, lambda tried: found.fits(tried) is True) if fits is False else None
    batches = dict.fromkeys(sizes.times(factor) for factor in FACTORS)
    return Budget(
        facts,
        sizes=sizes,
        measured=tuple(found.steps),
        failed=found.failed,
        peak=found.peak(sizes),
        seconds=seconds,
        hours=sum(steps[stage] * each for stage, each in seconds.items()) / 3600 if seconds else None,
        table=tuple(BatchRow(one, found.peak(one), found.seconds(one), found.fits(one)) for one in batches),
        fits=fits,
        advice=tuple(settings(sizes, fitting, step_keys)) if fitting else (),
        **network,
    )
