"""Sizes of a training step, smaller alternatives, and the recipe keys that set them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

SMALLEST_BATCH = 2  # minimum of the recipe keys


@dataclass(frozen=True)
class StepSizes:
    """Sizes of the input of a training step; the fields are recipe keys.

    Args:
        batch_labelled: Number of labelled images in a batch.
        batch_unlabelled: Number of unlabelled images in a batch; 0 for a supervised method.
        crop_size: Height and width of a crop in pixels.
        accumulation: Number of batches per update.
    """

    batch_labelled: int
    batch_unlabelled: int
    crop_size: int
    accumulation: int = 1

    @property
    def images(self) -> int:
        """Number of images in a batch."""
        return self.batch_labelled + self.batch_unlabelled

    @property
    def pixels(self) -> int:
        """Number of pixels in a batch."""
        return self.images * self.crop_size**2

    def times(self, factor: float) -> StepSizes:
        """Scale the batches by `factor`, each to at least 2 images; the crop is unchanged."""
        batches = (self.batch_labelled, self.batch_unlabelled)
        labelled, unlabelled = (max(min(n, SMALLEST_BATCH), int(n * factor)) for n in batches)
        return replace(self, batch_labelled=labelled, batch_unlabelled=unlabelled)

    def __str__(self) -> str:
        unlabelled = f" and {self.batch_unlabelled} unlabelled" if self.batch_unlabelled else ""
        return f"{self.batch_labelled} labelled{unlabelled} images of {self.crop_size} x {self.crop_size}"


def measured_sizes(sizes: StepSizes) -> tuple[StepSizes, StepSizes]:
    """Return the two sizes to measure: the smallest batch in the proportion of `sizes`, and twice that.

    Example:

    >>> [str(one) for one in measured_sizes(StepSizes(8, 8, 320, accumulation=2))]
    ['2 labelled and 2 unlabelled images of 320 x 320', '4 labelled and 4 unlabelled images of 320 x 320']
    """
    smallest = min(batch for batch in (sizes.batch_labelled, sizes.batch_unlabelled) if batch)
    parts = 2 ** ((max(smallest, SMALLEST_BATCH) // SMALLEST_BATCH).bit_length() - 1)
    small = sizes.times(1 / parts)
    return small, small.times(2)


def smaller_sizes(sizes: StepSizes, fits: Callable[[StepSizes], bool]) -> StepSizes | None:
    """Find the largest sizes below `sizes` that fit, or None.

    Batches are halved while accumulation is doubled, so that an update uses the same number of images. If the
    smallest batches do not fit, the crop is reduced.

    Args:
        sizes: Sizes that do not fit.
        fits: Function that tells whether sizes fit.

    Example:

    >>> smaller_sizes(StepSizes(8, 8, 320), lambda sizes: sizes.batch_labelled <= 3)
    StepSizes(batch_labelled=2, batch_unlabelled=2, crop_size=320, accumulation=4)
    """
    largest = max(sizes.batch_labelled, sizes.batch_unlabelled)
    tried = []
    for parts in (2**power for power in range(1, largest.bit_length())):
        smaller = sizes.times(1 / parts)
        times = -(-largest // max(smaller.batch_labelled, smaller.batch_unlabelled))
        if smaller.images < sizes.images:
            tried.append(replace(smaller, accumulation=sizes.accumulation * times))
    least = tried[-1] if tried else sizes
    tried += [replace(least, crop_size=crop) for crop in range(sizes.crop_size - 32, 0, -32)]
    return next(filter(fits, tried), None)


def settings(before: StepSizes, after: StepSizes, steps: dict[str, int]) -> list[str]:
    """Return the `--set` values that change the sizes from `before` to `after`.

    The number of steps is multiplied by the accumulation, so that training sees as many images.

    Args:
        before: Current sizes.
        after: New sizes.
        steps: Recipe keys that set numbers of steps, with their current values.

    Example:

    >>> after = StepSizes(4, 4, 320, accumulation=2)
    >>> settings(StepSizes(8, 8, 320), after, {"training.usrn_steps": 1000})[-1]
    'training.usrn_steps=2000'
    """
    keys = {
        "training.batch_labelled": "batch_labelled",
        "training.batch_unlabelled": "batch_unlabelled",
        "views.crop_size": "crop_size",
        "training.accumulation": "accumulation",
    }
    values = {key: (getattr(before, name), getattr(after, name)) for key, name in keys.items()}
    changed = {key: now for key, (then, now) in values.items() if then != now}
    times = after.accumulation // before.accumulation
    if times > 1:
        changed |= {key: value * times for key, value in steps.items()}
    return [f"{key}={value}" for key, value in changed.items()]
