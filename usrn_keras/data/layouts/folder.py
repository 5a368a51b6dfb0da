"""Folder data sets: one folder of images, one of masks, mirrored by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.images import IMAGE_SUFFIXES
from usrn_keras.data.files.masks import MASK_SUFFIXES
from usrn_keras.data.layouts.assemble import Layout, assemble, find_root
from usrn_keras.data.layouts.lists import Lists, Names, index_files, list_path, read_list
from usrn_keras.data.layouts.palette import read_palette, voc_palette
from usrn_keras.data.sample import Dataset
from usrn_keras.recipe.schema import Data

LAYOUT = Layout(
    "folder",
    """A folder data set:
    ROOT/images/ANY/NAME.jpg   images in any sub-folders (jpg, png, bmp, tif, webp)
    ROOT/masks/ANY/NAME.png    masks of the same names (png, bmp, tif) whose values are class ids
    ROOT/classes.txt           a class name per line, the first has id 0; or data.classes in the recipe
    ROOT/palette.txt           optional: `RED GREEN BLUE` per line, the colours of the classes
data.val, and where needed data.labelled, data.unlabelled and data.test, name list files in ROOT:
a line per image, its path inside the images folder with or without suffix.""",
)


def load_folder(data: Data) -> Dataset:
    """A folder data set; see `LAYOUT.help` for how it is laid out.

    Without lists, images with a mask are labelled and those without are unlabelled, except for the
    ones that the val and test lists name.

    Raises:
        DataError: with every fault found.
    """
    root, faults = find_root(data.root, LAYOUT), Faults()
    images = _index(root / data.images, "images", IMAGE_SUFFIXES, faults)
    masks = _index(root / data.masks, "masks", MASK_SUFFIXES, faults)
    classes = tuple(data.classes) or _read_classes(root / "classes.txt", faults)
    return assemble(
        LAYOUT,
        root,
        classes=classes,
        palette=_palette(root / "palette.txt", len(classes), faults),
        lists=_lists(data, images, masks, faults),
        images=images,
        masks=masks,
        faults=faults,
        ignore_index=data.ignore_index,
    )


def _index(folder: Path, key: str, suffixes: tuple[str, ...], faults: Faults) -> dict[str, Path]:
    if not folder.is_dir():
        faults.add(f"the folder {folder} does not exist (data.{key})")
        return {}
    return index_files(folder, suffixes, faults)


def _read_classes(path: Path, faults: Faults) -> Names:
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ""
    classes = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not classes:
        faults.add(f"the classes have no names: {path} is missing or empty, and so is data.classes")
    return classes


def _palette(path: Path, num_classes: int, faults: Faults) -> np.ndarray:
    return read_palette(path, num_classes, faults) if path.is_file() else voc_palette(num_classes)


def _lists(data: Data, images: dict[str, Path], masks: dict[str, Path], faults: Faults) -> Lists:
    given = {
        part: read_list(list_path(data, file), IMAGE_SUFFIXES, faults)
        for part in ("labelled", "unlabelled", "val", "test")
        if (file := getattr(data, part))
    }
    held_out = {*given.get("val", ()), *given.get("test", ())}
    rest = [name for name in images if name not in held_out]
    defaults = {
        "labelled": tuple(name for name in rest if name in masks),
        "unlabelled": tuple(name for name in rest if name not in masks),
        "val": (),
    }
    return Lists(**{**defaults, **given})
