"""Folder data sets: one folder of images, one of masks, matched by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, Faults
from usrn_keras.data.file_index import index_files, read_lines
from usrn_keras.data.formats.assemble import Layout, assemble
from usrn_keras.data.formats.lists import Lists, Names, given_lists
from usrn_keras.data.images import IMAGE_SUFFIXES
from usrn_keras.data.mask_values import colour_values, mask_values, read_palette, voc_palette
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.errors import DataError
from usrn_keras.recipe.checks import PLACEHOLDER, data_contradictions
from usrn_keras.recipe.schema import DataSection

Files = dict[str, Path]


@dataclass(frozen=True)
class FolderFiles:
    """Files by name, in the folder of each part.

    Args:
        images, masks: All of them; those of `data.val_images` are called `val/NAME`, and so for test.
        train, val, test: Names of the images in `data.images`, `data.val_images` and `data.test_images`.
    """

    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    train: Names
    val: Names
    test: Names


def index_folder(root: Path, data: DataSection, faults: Faults) -> FolderFiles:
    """Find the images and masks that `data` names; folders are relative to `root`, or absolute."""
    folders = _folders(root, data, faults)
    images: Files = {}
    masks: Files = {}
    names: dict[str, Names] = {}
    for part, (image_folder, mask_folder) in folders.items():
        others = {folder for pair in folders.values() for folder in pair}
        found = _index_pair(image_folder, mask_folder, data, others, faults)
        prefix = "" if part == "train" else f"{part}/"
        names[part] = tuple(prefix + name for name in found[0])
        for all_files, files in zip((images, masks), found, strict=True):
            for name, path in files.items():
                _add(all_files, prefix + name, path, faults)
    return FolderFiles(images, masks, names["train"], names.get("val", ()), names.get("test", ()))


def canonical_names(root: Path, data: DataSection, images: Mapping[str, Path]) -> Callable[[str], str]:
    """What an entry of a list is called: a name as it is, a path from the root or its folder by its image.

    Example:

    >>> images = {"a": Path("data/images/a_rgb.png")}
    >>> name_of = canonical_names(Path("data"), DataSection(dataset="folder", root="data"), images)
    >>> [name_of(entry) for entry in ("a", "a_rgb", "images/a_rgb", "missing")]
    ['a', 'a', 'a', 'missing']
    """
    named = (data.val_images, data.test_images, data.images)  # the last one has the last word
    folders = [root, *(_absolute(root, folder) for folder in named)]

    @cache
    def aliases() -> dict[str, str]:
        found = {}
        for folder in folders:
            start = f"{folder}{os.sep}"
            for name, path in images.items():
                stem = os.path.splitext(path)[0]
                if stem.startswith(start):
                    found[stem.removeprefix(start).replace(os.sep, "/")] = name
        return found

    return lambda entry: entry if entry in images else aliases().get(entry, entry)


def _folders(root: Path, data: DataSection, faults: Faults) -> dict[str, tuple[Path, Path]]:
    """The folders of images and masks of every part that has its own."""
    folders = {}
    for part, prefix in (("train", ""), ("val", "val_"), ("test", "test_")):
        named = [(key, getattr(data, key)) for key in (f"{prefix}images", f"{prefix}masks")]
        if not all(folder for _, folder in named):
            continue
        for key, folder in named:
            if not _absolute(root, folder).is_dir():
                faults.add(f"the folder {_absolute(root, folder)} does not exist (data.{key})")
        folders[part] = tuple(_absolute(root, folder) for _, folder in named)
        if part != "train" and folders[part][0] == folders["train"][0]:
            faults.add(
                f"data.{part}_images and data.images are the same folder: name {part} images in data.{part}"
            )
    return folders


def _absolute(root: Path, folder: str) -> Path:
    return Path(os.path.normpath(root / Path(folder).expanduser()))


def _index_pair(
    image_folder: Path, mask_folder: Path, data: DataSection, others: Set[Path], faults: Faults
) -> tuple[Files, Files]:
    """Images and masks of a part. Where both match a file, the longer of the two patterns has it."""
    image_pattern, mask_pattern = (
        pattern if pattern.count(PLACEHOLDER) == 1 else PLACEHOLDER
        for pattern in (data.image_pattern, data.mask_pattern)
    )
    suffixes = IMAGE_SUFFIXES
    if image_folder == mask_folder and image_pattern == mask_pattern:
        suffixes = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in MASK_SUFFIXES)

    def index(folder: Path, suffixes: tuple[str, ...], pattern: str, taken: Files) -> Files:
        inside = taken.values() if image_folder == mask_folder else ()
        skip = {*others, *inside} - {folder}
        return index_files(folder, suffixes, faults, pattern=pattern, skip=skip)

    if len(image_pattern) > len(mask_pattern):
        images = index(image_folder, suffixes, image_pattern, {})
        return images, index(mask_folder, MASK_SUFFIXES, mask_pattern, images)
    masks = index(mask_folder, MASK_SUFFIXES, mask_pattern, {})
    return index(image_folder, suffixes, image_pattern, masks), masks


def _add(files: Files, name: str, path: Path, faults: Faults) -> None:
    if name in files:
        faults.add(f"{files[name]} and {path} have the same name `{name}`: rename or remove one")
    files.setdefault(name, path)


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
    root: Path, data: DataSection, faults: Faults, further_masks: Mapping[str, Path] | None = None
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


def _palette(path: Path, data: DataSection, num_classes: int, faults: Faults) -> np.ndarray:
    if path.is_file():
        return read_palette(path, num_classes, faults)
    if data.mask_format == "colours":
        faults.add(
            f"data.mask_format = 'colours' needs the file {path}: a line `RED GREEN BLUE` for each class"
        )
    return voc_palette(num_classes)


def _lists(root: Path, data: DataSection, files: FolderFiles, faults: Faults) -> Lists:
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
