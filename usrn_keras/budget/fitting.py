"""Which batch sizes fit into the memory there is, and how a recipe says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BATCHES = (2, 4, 8, 16, 32)
FEWEST = BATCHES[0]  # as a recipe allows


@dataclass(frozen=True)
class Sizes:
    """What a step takes in, by the keys of a recipe.

    Args:
        batch_labelled, batch_unlabelled: Images in a batch; the Baseline takes no unlabelled ones.
        crop_size: Height and width of a crop.
        accumulation: Batches per update.
    """

    batch_labelled: int
    batch_unlabelled: int
    crop_size: int
    accumulation: int = 1

    def __str__(self) -> str:
        unlabelled = f" and {self.batch_unlabelled} unlabelled" if self.batch_unlabelled else ""
        return f"{self.batch_labelled} labelled{unlabelled} images of {self.crop_size} x {self.crop_size}"


def smaller(sizes: Sizes, peak: Callable[[Sizes], float], room: float) -> Sizes | None:
    """The largest sizes below `sizes` whose step fits into `room` bytes, or None.

    First smaller batches, more of them per update, so that an update still sees as many images;
    where two images are too much, smaller crops.

    Args:
        sizes: What does not fit.
        peak: Bytes that a step of given sizes needs.
        room: Bytes there are.

    Example:

    >>> smaller(Sizes(8, 8, 320), lambda sizes: sizes.batch_labelled * 2**30, 3 * 2**30)
    Sizes(batch_labelled=2, batch_unlabelled=2, crop_size=320, accumulation=4)
    """
    halvings = range(1, _largest(sizes).bit_length())
    tried = [_divided(sizes, 2**times) for times in halvings]
    least = tried[-1] if tried else sizes
    crops = range(sizes.crop_size - 32, 0, -32)
    tried += [Sizes(least.batch_labelled, least.batch_unlabelled, crop, least.accumulation) for crop in crops]
    return next((candidate for candidate in tried if peak(candidate) <= room), None)


def settings(before: Sizes, after: Sizes, steps: dict[str, int]) -> list[str]:
    """What `--set` takes to go from one to the other.

    A batch of a part of the images makes a part of the way: there are as many steps more.

    Args:
        before, after: Sizes.
        steps: The keys of a recipe that count steps, and their values before.

    Example:

    >>> settings(Sizes(8, 8, 320), Sizes(4, 4, 320, accumulation=2), {"training.usrn_steps": 1000})[-1]
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


def _largest(sizes: Sizes) -> int:
    return max(sizes.batch_labelled, sizes.batch_unlabelled)


def _divided(sizes: Sizes, parts: int) -> Sizes:
    """A part of the batches; of as many of them is an update made as it takes to see all images."""
    batches = [
        max(min(batch, FEWEST), batch // parts) for batch in (sizes.batch_labelled, sizes.batch_unlabelled)
    ]
    times = -(-_largest(sizes) // max(batches))
    return Sizes(*batches, sizes.crop_size, sizes.accumulation * times)
