"""Build a checked `Dataset` from lists and files: the last step of every format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, ErrorList
from usrn_keras.data.formats.lists import Lists, Names, make_samples
from usrn_keras.data.mask_values import MAX_CLASSES, MaskValues

NEEDED = {
    "labelled": "no labelled images: USRN needs at least one image with a mask",
    "val": "no validation images: they are needed to evaluate results",
}


@dataclass(frozen=True)
class Layout:
    """The name of a format, and a description of its folder layout for error hints."""

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
    errors: ErrorList,
) -> Dataset:
    """Match the lists with the files and check the data set. Samples without files are skipped.

    Args:
        layout: Format of the data set.
        classes: Class names by id.
        palette: Colour of each class, `(classes, 3)` uint8.
        values: Meaning of mask values.
        lists: Names of the samples in each part.
        images: Image files by name.
        masks: Mask files by name.
        errors: Receives the errors.
    """
    _check_classes(classes, errors)
    _check_lists(lists, errors)
    for kind, found in (("images", images), ("masks", masks)):
        if not found:
            errors.add(f"the folders of the {kind} contain no {kind}")
    samples = {}
    for part in fields(lists):
        # Without any files, every name would be reported as missing.
        has_files = images and (masks or part.name == "unlabelled")
        names = getattr(lists, part.name) if has_files else ()
        samples[part.name] = make_samples(part.name, names, images, masks, errors)
    return Dataset(
        name=layout.name,
        classes=classes,
        palette=palette,
        ignore_index=values.ignore_index,
        id_map=values.id_map,
        colour_map=values.colour_map,
        **samples,
    )


def _check_classes(classes: Names, errors: ErrorList) -> None:
    if len(classes) == 1:
        errors.add(f"segmentation needs at least 2 classes, received only `{classes[0]}`")
    if len(classes) > MAX_CLASSES:
        errors.add(f"at most {MAX_CLASSES} classes are supported, received {len(classes)}")
    for name in sorted(name for name, count in Counter(classes).items() if count > 1):
        errors.add(f"two classes have the name `{name}`")


def _check_lists(lists: Lists, errors: ErrorList) -> None:
    for part, message in NEEDED.items():
        if not getattr(lists, part):
            errors.add(message)
    for training in ("labelled", "unlabelled"):
        for held_out in ("val", "test"):
            for name in sorted(set(getattr(lists, training)) & set(getattr(lists, held_out))):
                errors.add(f"`{name}` is in both {training} and {held_out}: results would be too optimistic")
