"""Extrapolate memory and time of a training step linearly from two measured steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usrn_keras.budget.step_sizes import StepSizes

FLOAT_BYTES = 4


@dataclass(frozen=True)
class MeasuredStep:
    """Measurement of a training step.

    Args:
        sizes: Sizes of the step.
        peak: Peak memory in bytes, including compilation: the memory allocated on the GPU, or without a GPU
            that of the whole process.
        seconds: Time of a step in seconds, without compilation.
    """

    sizes: StepSizes
    peak: int
    seconds: float


@dataclass(frozen=True)
class Extrapolation:
    """Predictions from measured steps.

    Memory and time are assumed to grow linearly with the pixels in a batch. This holds for convolutions at a
    fixed crop; attention grows faster with the crop, so predictions for another crop are rough.

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
        line = self._line(sizes, [step.peak for step in self.steps])
        if line is None:
            return None
        before = self.steps[0].sizes.accumulation
        accumulated = FLOAT_BYTES * self.trainable if sizes.accumulation > 1 and before == 1 else 0
        return line + accumulated + self.kept_images

    def seconds(self, sizes: StepSizes) -> float | None:
        """Predict the seconds of a step; None if they cannot be predicted."""
        return self._line(sizes, [step.seconds for step in self.steps])

    def fits(self, sizes: StepSizes) -> bool | None:
        """Predict whether a step fits into memory; None if unknown."""
        if self.failed is not None and sizes.pixels >= self.failed.pixels:
            return False
        peak = self.peak(sizes)
        return None if peak is None or self.room is None else peak <= self.room

    def _line(self, sizes: StepSizes, values: Sequence[float]) -> float | None:
        if not values:
            return None
        first, last = self.steps[0].sizes.pixels, self.steps[-1].sizes.pixels
        if first == last:  # the larger step ran out of memory
            return values[0] if sizes.pixels == first else None
        # A larger step that took less than a smaller one is measurement noise.
        slope = max(0.0, (values[-1] - values[0]) / (last - first))
        return max(0.0, values[0] + slope * (sizes.pixels - first))
