"""The last step of every loader: from lists and files to a checked `Dataset`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.lists import Lists, Names, make_samples
from usrn_keras.data.sample import Dataset
from usrn_keras.errors import DataError

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


def find_root(root: str, layout: Layout) -> Path:
    """The root folder, which must exist."""
    if not root:
        raise DataError(f"data.root is empty: the {layout.name} data set needs its folder", hint=layout.help)
    path = Path(root).expanduser()
    if not path.is_dir():
        raise DataError(f"data.root = `{root}` is no folder", hint=layout.help)
    return path


def assemble(
    layout: Layout,
    root: Path,
    *,
    classes: Names,
    palette: np.ndarray,
    lists: Lists,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    faults: Faults,
    ignore_index: int = 255,
    id_map: np.ndarray | None = None,
) -> Dataset:
    """Match the lists with the files and check the whole.

    Raises:
        DataError: with every fault, those in `faults` included.
    """
    _check_classes(classes, ignore_index, faults)
    _check_lists(lists, faults)
    for kind, found in (("images", images), ("masks", masks)):
        if not found:
            faults.add(f"there are no {kind} at all where they should lie")
    samples = {}
    if images and masks:  # otherwise every single file would be reported missing
        for part in fields(lists):
            names = getattr(lists, part.name)
            samples[part.name] = make_samples(part.name, names, images, masks, faults)
    faults.raise_if_any(f"the {layout.name} data set in {root} cannot be used:", hint=layout.help)
    return Dataset(
        name=layout.name,
        classes=classes,
        palette=palette,
        ignore_index=ignore_index,
        id_map=id_map,
        **samples,
    )


def _check_classes(classes: Names, ignore_index: int, faults: Faults) -> None:
    if len(classes) == 1:
        faults.add(f"segmentation needs at least 2 classes, there is only `{classes[0]}`")
    if ignore_index < len(classes):
        faults.add(
            f"data.ignore_index = {ignore_index} is the id of class `{classes[ignore_index]}`: "
            f"choose a value of at least {len(classes)}"
        )
    for name in sorted({name for name in classes if classes.count(name) > 1}):
        faults.add(f"two classes are called `{name}`")


def _check_lists(lists: Lists, faults: Faults) -> None:
    for part, message in NEEDED.items():
        if not getattr(lists, part):
            faults.add(message)
    for training in ("labelled", "unlabelled"):
        for held_out in ("val", "test"):
            for name in sorted(set(getattr(lists, training)) & set(getattr(lists, held_out))):
                faults.add(f"`{name}` is in both {training} and {held_out}: results on it would be too good")
