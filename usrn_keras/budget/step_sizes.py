"""Sizes of a training step, smaller ones, and the recipe keys that set them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

SMALLEST_BATCH = 2  # as a recipe allows


@dataclass(frozen=True)
class StepSizes:
    """Images that a training step takes in; the fields are keys of a recipe.

    Args:
        batch_labelled, batch_unlabelled: Images in a batch; a supervised method takes no unlabelled ones.
        crop_size: Height and width of a crop in pixels.
        accumulation: Batches per update.
    """

    batch_labelled: int
    batch_unlabelled: int
    crop_size: int
    accumulation: int = 1

    @property
    def images(self) -> int:
        """Images in a batch."""
        return self.batch_labelled + self.batch_unlabelled

    @property
    def pixels(self) -> int:
        """Pixels in a batch."""
        return self.images * self.crop_size**2

    def times(self, factor: float) -> StepSizes:
        """The same crops in batches `factor` times as large, each at least 2 images."""
        batches = (self.batch_labelled, self.batch_unlabelled)
        labelled, unlabelled = (max(min(n, SMALLEST_BATCH), int(n * factor)) for n in batches)
        return replace(self, batch_labelled=labelled, batch_unlabelled=unlabelled)

    def __str__(self) -> str:
        unlabelled = f" and {self.batch_unlabelled} unlabelled" if self.batch_unlabelled else ""
        return f"{self.batch_labelled} labelled{unlabelled} images of {self.crop_size} x {self.crop_size}"


def measured_sizes(sizes: StepSizes) -> tuple[StepSizes, StepSizes]:
    """The two batches to measure: the smallest in the proportion of `sizes`, and twice that.

    Example:

    >>> [str(one) for one in measured_sizes(StepSizes(8, 8, 320, accumulation=2))]
    ['2 labelled and 2 unlabelled images of 320 x 320', '4 labelled and 4 unlabelled images of 320 x 320']
    """
    smallest = min(batch for batch in (sizes.batch_labelled, sizes.batch_unlabelled) if batch)
    parts = 2 ** ((max(smallest, SMALLEST_BATCH) // SMALLEST_BATCH).bit_length() - 1)
    small = sizes.times(1 / parts)
    return small, small.times(2)


def smaller_sizes(sizes: StepSizes, fits: Callable[[StepSizes], bool]) -> StepSizes | None:
    """The largest sizes below `sizes` that fit, or None.

    Batches are halved, and as many more are accumulated per update, so that an update still sees as many
    images. Where the smallest batches do not fit, the crops become smaller.

    Args:
        sizes: Sizes that do not fit.
        fits: Whether given sizes fit.

    Example:

    >>> smaller_sizes(StepSizes(8, 8, 320), lambda sizes: sizes.batch_labelled <= 3)
    StepSizes(batch_labelled=2, batch_unlabelled=2, crop_size=320, accumulation=4)
    """
    divided = [_divided(sizes, 2**times) for times in range(1, _largest(sizes).bit_length())]
    tried = [one for one in dict.fromkeys(divided) if one.images < sizes.images]
    least = tried[-1] if tried else sizes
    tried += [replace(least, crop_size=crop) for crop in range(sizes.crop_size - 32, 0, -32)]
    return next(filter(fits, tried), None)


def settings(before: StepSizes, after: StepSizes, steps: dict[str, int]) -> list[str]:
    """The values of `--set` that lead from one to the other.

    A batch of half the images makes half the progress, so the steps grow with the accumulation.

    Args:
        before, after: Sizes.
        steps: Recipe keys that count steps, and their values before.

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


def _largest(sizes: StepSizes) -> int:
    return max(sizes.batch_labelled, sizes.batch_unlabelled)


def _divided(sizes: StepSizes, parts: int) -> StepSizes:
    smaller = sizes.times(1 / parts)
    times = -(-_largest(sizes) // _largest(smaller))
    return replace(smaller, accumulation=sizes.accumulation * times)
