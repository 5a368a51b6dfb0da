"""Draw a random split: the labelled images among the training images of a data set."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from usrn_keras.data.dataset import Dataset, ErrorList, Sample
from usrn_keras.data.formats.lists import Lists, Names
from usrn_keras.errors import DataError


@dataclass(frozen=True)
class Share:
    """A share of images: a fraction such as `1/8` or `0.125`, or a number of images such as `46`.

    Args:
        text: Fraction or number.

    Raises:
        ValueError: The text is neither a fraction between 0 and 1 nor a positive integer.

    Example:

    >>> Share("1/8").of(367), Share("46").of(367)
    (46, 46)
    """

    text: str

    def __post_init__(self) -> None:
        self._number()

    def of(self, total: int) -> int:
        """Compute the number of images out of `total`, rounded; halves are rounded up."""
        number = self._number()
        return number if isinstance(number, int) else int(total * number + Fraction(1, 2))

    def _number(self) -> int | Fraction:
        if self.text.isascii() and self.text.isdigit() and int(self.text) > 0:
            return int(self.text)
        try:
            fraction = Fraction(self.text)
        except (ValueError, ZeroDivisionError):
            fraction = None
        if fraction is None or not 0 < fraction < 1:
            raise ValueError(
                f"must be a fraction between 0 and 1 such as 1/8 or 0.125, or a number of images such as 46, "
                f"received {self.text!r}"
            )
        return fraction


def draw_split(
    names: Sequence[str], count: int, *, seed: int, pixels: np.ndarray | None = None
) -> tuple[str, ...]:
    """Draw `count` of the names, sorted. The draws of one seed are nested.

    Without `pixels`, the draw has the first `count` of the sorted names after shuffling with
    `random.Random(seed)`, as in the shipped CamVid splits.

    With `pixels`, the draw covers every class of the images if `count` images suffice. While a class is
    missing, the draw takes the image of the rarest missing class (in the fewest images) that covers most of
    the missing classes. The rest is random.

    Args:
        names: Names to draw from.
        count: Number of names to draw.
        seed: Seed of the draw.
        pixels: Number of pixels of each class in each image, `(names, classes)`, in the order of `names`.

    Raises:
        DataError: `count` is larger than the number of names.

    Example:

    >>> draw_split(["a", "b", "c", "d"], 2, seed=0)
    ('a', 'c')
    >>> draw_split(["a", "b", "c", "d"], 2, seed=0, pixels=np.array([[9, 0], [9, 0], [9, 0], [9, 1]]))
    ('c', 'd')
    """
    if not 0 <= count <= len(names):
        raise DataError(f"{count} images cannot be drawn from {len(names)}")
    order = _shuffled(names, seed)
    if pixels is not None:
        covering = _cover(pixels[order] > 0)
        rest = sorted(set(range(len(order))).difference(covering))
        order = [order[position] for position in (*covering, *rest)]
    return tuple(sorted(names[index] for index in order[:count]))


def covering_draw(names: Sequence[str], *, seed: int, pixels: np.ndarray) -> tuple[str, ...]:
    """List the names that `draw_split` draws first to cover every class, sorted.

    Args:
        names: Names to draw from.
        seed: Seed of the draw.
        pixels: Number of pixels of each class in each image, `(names, classes)`, in the order of `names`.

    Example:

    >>> covering_draw(["a", "b", "c"], seed=0, pixels=np.array([[9, 0], [9, 1], [9, 0]]))
    ('b',)
    """
    order = _shuffled(names, seed)
    return tuple(sorted(names[order[position]] for position in _cover(pixels[order] > 0)))


def _shuffled(names: Sequence[str], seed: int) -> list[int]:
    """Indices of the names, sorted by name and then shuffled."""
    order = sorted(range(len(names)), key=names.__getitem__)
    random.Random(seed).shuffle(order)
    return order


def _cover(shown: np.ndarray) -> list[int]:
    """Choose rows of `(images, classes)` bool that together cover every class."""
    missing = shown.any(axis=0)
    rarity = shown.sum(axis=0)
    chosen = []
    while missing.any():
        rarest = np.flatnonzero(missing)[np.argmin(rarity[missing])]
        candidates = np.flatnonzero(shown[:, rarest])
        row = int(candidates[np.argmax(shown[candidates][:, missing].sum(axis=1))])
        chosen.append(row)
        missing = missing & ~shown[row]
    return chosen


def drawable(dataset: Dataset) -> tuple[Sample, ...]:
    """List the training images with a mask, which can be labelled, sorted by name."""
    training = (*dataset.labelled, *dataset.unlabelled)
    return tuple(sorted((sample for sample in training if sample.mask), key=lambda sample: sample.name))


def draw_parts(
    dataset: Dataset, labelled: Share, val: Share | None, *, seed: int, pixels: np.ndarray | None = None
) -> Lists:
    """Draw labelled and optionally val images from the images with a mask. The other images are unlabelled.

    Args:
        dataset: Data set whose labelled and unlabelled images are drawn from. Its test images are kept.
        labelled: Share of labelled images among the images with masks that are not drawn for val.
        val: Share of val images among all images with masks; None keeps the val images of the data set.
        seed: Seed of the draws.
        pixels: Number of pixels of each class in each image of `drawable(dataset)`, `(images, classes)`, to
            cover every class with the labelled images; None draws without this condition.

    Raises:
        DataError: There are too few images, or the labelled images are too few to cover every class.
    """
    names = tuple(sample.name for sample in drawable(dataset))
    without_mask = tuple(sample.name for sample in dataset.unlabelled if sample.mask is None)
    val_count = val.of(len(names)) if val else 0
    count = labelled.of(len(names) - val_count)
    _check_counts(len(names), len(without_mask), count, val_count, val)
    val_names = _draw_val(names, val_count, seed, pixels)
    held_out = set(val_names)
    rest = tuple(name for name in names if name not in held_out)
    rows = None if pixels is None else pixels[[name not in held_out for name in names]]
    drawn = draw_split(rest, count, seed=seed, pixels=rows)
    if rows is not None:
        _check_cover(names, drawn, pixels, dataset.classes)
    unlabelled = {*rest, *without_mask} - set(drawn)
    return Lists(
        labelled=drawn,
        unlabelled=tuple(sorted(unlabelled)),
        val=val_names if val else _names(dataset.val),
        test=_names(dataset.test),
    )


def _draw_val(names: Names, count: int, seed: int, pixels: np.ndarray | None) -> Names:
    """Draw the val images. If classes must be covered, they leave enough images for that, if possible."""
    kept = () if pixels is None else set(covering_draw(names, seed=seed, pixels=pixels))
    spare = tuple(name for name in names if name not in kept)
    return draw_split(spare if len(spare) >= count else names, count, seed=seed)


def _names(samples: Sequence[Sample]) -> Names:
    return tuple(sample.name for sample in samples)


def _check_counts(masked: int, without_mask: int, labelled: int, val: int, val_share: Share | None) -> None:
    errors = ErrorList()
    if labelled < 1:
        errors.add("--labelled selects no image: use a larger share")
    if val_share and val < 1:
        errors.add("--val selects no image: use a larger share")
    if labelled + val > masked:
        errors.add(f"{labelled} labelled and {val} val images are more than the {masked} images with masks")
    elif labelled + val == masked and not without_mask:
        errors.add("no image would remain unlabelled, but semi-supervised training needs some")
    errors.raise_if_any(
        f"the split cannot be drawn from {masked} training images with masks and {without_mask} without:"
    )


def _check_cover(names: Names, drawn: Names, pixels: np.ndarray, classes: Sequence[str]) -> None:
    images = (pixels > 0).sum(axis=0)
    labelled = set(drawn)
    shown = (pixels[[name in labelled for name in names]] > 0).any(axis=0)
    errors = ErrorList()
    for class_id in np.flatnonzero((images > 0) & ~shown):
        errors.add(
            f"`{classes[class_id]}` is in {images[class_id]} of {len(names)} images, none of them is drawn"
        )
    errors.raise_if_any(
        f"{len(drawn)} labelled images cannot cover every class:",
        hint="Increase --labelled, or omit --cover-classes.",
    )
