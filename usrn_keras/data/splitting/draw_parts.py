"""A random split of the training images of any data set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.lists import Lists, Names
from usrn_keras.data.sample import Dataset, Sample
from usrn_keras.data.splitting.random_split import covering_draw, draw_split
from usrn_keras.data.splitting.share import Share


def drawable(dataset: Dataset) -> tuple[Sample, ...]:
    """The training images that have a mask, by name: those that may be labelled."""
    training = (*dataset.labelled, *dataset.unlabelled)
    return tuple(sorted((sample for sample in training if sample.mask), key=lambda sample: sample.name))


def draw_parts(
    dataset: Dataset, labelled: Share, val: Share | None, *, seed: int, pixels: np.ndarray | None = None
) -> Lists:
    """Draw labelled images, and val images if asked for, from those that have a mask; the rest is unlabelled.

    Args:
        dataset: Its labelled and unlabelled images are drawn from; its val and test images stay.
        labelled: Of the images with masks that are not drawn for val.
        val: Of all images with masks; None leaves the val images as they are.
        seed: Of the draws.
        pixels: `(images, classes)` of `drawable(dataset)`: the labelled images show every class,
            and val leaves them those that do; None: any.

    Raises:
        DataError: too few images, or so few labelled images cannot show every class.
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
    """Where classes are to be covered, images that show them all are left to the labelled, if that can be."""
    kept = () if pixels is None else set(covering_draw(names, seed=seed, pixels=pixels))
    spare = tuple(name for name in names if name not in kept)
    return draw_split(spare if len(spare) >= count else names, count, seed=seed)


def _names(samples: Sequence[Sample]) -> Names:
    return tuple(sample.name for sample in samples)


def _check_counts(masked: int, without_mask: int, labelled: int, val: int, val_share: Share | None) -> None:
    faults = Faults()
    if labelled < 1:
        faults.add("--labelled comes to no image: give a larger share")
    if val_share and val < 1:
        faults.add("--val comes to no image: give a larger share")
    if labelled + val > masked:
        faults.add(f"{labelled} labelled and {val} val images are more than the {masked} with masks")
    elif labelled + val == masked and not without_mask:
        faults.add("no image would be left unlabelled, and USRN learns from images without labels too")
    faults.raise_if_any(
        f"the split cannot be drawn from {masked} training images with masks and {without_mask} without:"
    )


def _check_cover(names: Names, drawn: Names, pixels: np.ndarray, classes: Sequence[str]) -> None:
    images = (pixels > 0).sum(axis=0)
    labelled = set(drawn)
    shown = (pixels[[name in labelled for name in names]] > 0).any(axis=0)
    faults = Faults()
    for class_id in np.flatnonzero((images > 0) & ~shown):
        faults.add(
            f"`{classes[class_id]}` is in {images[class_id]} of {len(names)} images, none of them drawn"
        )
    faults.raise_if_any(
        f"{len(drawn)} labelled images cannot show every class:",
        hint="Raise --labelled, or leave out --cover-classes.",
    )
