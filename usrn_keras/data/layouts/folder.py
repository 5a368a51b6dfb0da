"""Folder data sets: one folder of images, one of masks, matched by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.layouts.assemble import Layout, assemble
from usrn_keras.data.layouts.folder_files import FolderFiles, canonical_names, index_folder
from usrn_keras.data.layouts.lists import Lists, Names
from usrn_keras.data.layouts.mask_values import colour_values, mask_values
from usrn_keras.data.layouts.palette import read_palette, voc_palette
from usrn_keras.data.layouts.splits import given_lists
from usrn_keras.data.layouts.text import read_lines
from usrn_keras.data.sample import Dataset
from usrn_keras.errors import DataError
from usrn_keras.recipe.checks import data_contradictions
from usrn_keras.recipe.schema import Data

LAYOUT = Layout(
    "folder",
    """A folder data set (`usrn init` writes its recipe and lists):
    ROOT/images/ANY/NAME.jpg   images in any sub-folders (jpg, png, bmp, tif, webp)
    ROOT/masks/ANY/NAME.png    masks of the same names (png, bmp, tif, gif) whose values are class ids
    ROOT/classes.txt           a class name per line, the first has id 0; or data.classes in the recipe
    ROOT/palette.txt           `RED GREEN BLUE` per line, the colours of the classes; optional unless
                               data.mask_format = 'colours'
data.images, data.masks, data.image_pattern and data.mask_pattern name other folders and files, and
data.val_images with data.val_masks validation images that lie apart. data.val, and where needed
data.labelled, data.unlabelled and data.test, name list files in ROOT: a line per image, its path inside
the images folder with or without suffix. data.split names what `usrn split` wrote.""",
)


def load_folder(
    root: Path, data: Data, faults: Faults, further_masks: Mapping[str, Path] | None = None
) -> Dataset:
    """A folder data set, called as its folder; see `LAYOUT.help` for how it is laid out.

    Without lists, images with a mask are labelled and those without are unlabelled, except for the
    ones that the val and test lists name. What is wrong is added to `faults`.

    Args:
        root: The folder.
        data: The section of the recipe.
        faults: Takes what is wrong.
        further_masks: Masks by name that make no image labelled, but are there for lists that name it.
    """
    for line in data_contradictions(data):
        faults.add(line)
    files = index_folder(root, data, faults)
    classes = tuple(data.classes) or _read_classes(root / "classes.txt", faults)
    palette = _palette(root / "palette.txt", data, len(classes), faults)
    if data.mask_format == "colours":
        values = colour_values(palette, data.ignore_colours, classes, faults)
    else:
        values = mask_values(data, classes, faults)
    dataset = assemble(
        LAYOUT,
        classes=classes,
        palette=palette,
        values=values,
        lists=_lists(root, data, files, faults),
        images=files.images,
        masks={**(further_masks or {}), **files.masks},
        faults=faults,
    )
    return replace(dataset, name=root.resolve().name)


def _read_classes(path: Path, faults: Faults) -> Names:
    try:
        classes = tuple(line for line in read_lines(path) if line) if path.is_file() else ()
    except DataError as error:
        faults.add(error.message)
        return ()
    if not classes:
        faults.add(f"the classes have no names: {path} is missing or empty, and so is data.classes")
    return classes


def _palette(path: Path, data: Data, num_classes: int, faults: Faults) -> np.ndarray:
    if path.is_file():
        return read_palette(path, num_classes, faults)
    if data.mask_format == "colours":
        faults.add(
            f"data.mask_format = 'colours' needs the file {path}: a line `RED GREEN BLUE` for each class"
        )
    return voc_palette(num_classes)


def _lists(root: Path, data: Data, files: FolderFiles, faults: Faults) -> Lists:
    given = given_lists(data, root, faults, canonical_names(root, data, files.images))
    held_out = {*given.get("val", ()), *given.get("test", ())}
    rest = tuple(name for name in files.train if name not in held_out)
    lists = {"labelled": _with_masks(rest, files), "val": files.val, "test": files.test, **given}
    if "unlabelled" not in given:
        # Beside a split, an image that it does not label is unlabelled, whether it has a mask or not.
        left_out = set(lists["labelled"] if data.split else _with_masks(rest, files))
        lists["unlabelled"] = tuple(name for name in rest if name not in left_out)
    return Lists(**lists)


def _with_masks(names: Names, files: FolderFiles) -> Names:
    return tuple(name for name in names if name in files.masks)
