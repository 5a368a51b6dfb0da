"""The last step of every loader: from lists and files to a checked `Dataset`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, Faults
from usrn_keras.data.formats.lists import Lists, Names, make_samples
from usrn_keras.data.mask_values import MAX_CLASSES, MaskValues

NEEDED = {
    "labelled": "no labelled images: USRN needs at least one image with a mask",
    "unlabelled": "no unlabelled images: USRN learns from images without labels too",
    "val": "no validation images: without them no result can be measured",
}


@dataclass(frozen=True)
class Layout:
    """What a loader knows of its kind of data set: its name, and what to tell who lacks it."""

    name: str
    help: str


def assemble(
    layout: Layout,
    *,
    classes: Names,
    palette: np.ndarray,
    values: MaskValues,
    lists: Lists,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    faults: Faults,
) -> Dataset:
    """Match the lists with the files and check the whole; samples without their files are left out.

    What is wrong is added to `faults`.
    """
    _check_classes(classes, faults)
    _check_lists(lists, faults)
    for kind, found in (("images", images), ("masks", masks)):
        if not found:
            faults.add(f"there are no {kind} at all where they should lie")
    samples = {}
    for part in fields(lists):
        # Otherwise every single file would be reported missing.
        findable = images and (masks or part.name == "unlabelled")
        names = getattr(lists, part.name) if findable else ()
        samples[part.name] = make_samples(part.name, names, images, masks, faults)
    return Dataset(
        name=layout.name,
        classes=classes,
        palette=palette,
        ignore_index=values.ignore_index,
        id_map=values.id_map,
        colour_map=values.colour_map,
        **samples,
    )


def _check_classes(classes: Names, faults: Faults) -> None:
    if len(classes) == 1:
        faults.add(f"segmentation needs at least 2 classes, there is only `{classes[0]}`")
    if len(classes) > MAX_CLASSES:
        faults.add(f"there are {len(classes)} classes, at most {MAX_CLASSES} are possible")
    for name in sorted(name for name, count in Counter(classes).items() if count > 1):
        faults.add(f"two classes are called `{name}`")


def _check_lists(lists: Lists, faults: Faults) -> None:
    for part, message in NEEDED.items():
        if not getattr(lists, part):
            faults.add(message)
    for training in ("labelled", "unlabelled"):
        for held_out in ("val", "test"):
            for name in sorted(set(getattr(lists, training)) & set(getattr(lists, held_out))):
                faults.add(f"`{name}` is in both {training} and {held_out}: results on it would be too good")
