"""Folder data sets: a folder of images and a folder of masks, matched by name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import add_file, index_files, read_lines
from usrn_keras.data.formats.assemble import Layout, assemble
from usrn_keras.data.formats.list_lines import LINE_FORMS, without_suffix
from usrn_keras.data.formats.lists import Entries, Lists, Names, given_lists
from usrn_keras.data.mask_values import (
    MaskValues,
    colour_values,
    internal_ignore_index,
    mask_values,
    read_palette,
    voc_palette,
)
from usrn_keras.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES
from usrn_keras.data.name_matching import match_masks
from usrn_keras.data.name_pattern import Pattern, normal
from usrn_keras.errors import DataError
from usrn_keras.recipe.checks import data_contradictions
from usrn_keras.recipe.schema import DataSection

Files = dict[str, Path]


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder data set by name.

    Args:
        images, masks: Files by name. Names of files in `data.val_images` start with `val/`, those of files in
            `data.test_images` with `test/`.
        train, val, test: Names of the images in `data.images`, `data.val_images` and `data.test_images`.
    """

    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    train: Names
    val: Names
    test: Names


def index_folder(root: Path, data: DataSection, errors: ErrorList) -> FolderFiles:
    """Index the images and masks in the folders of a recipe.

    Args:
        root: Folder of the data set, which relative folders refer to.
        data: Section `[data]` of the recipe.
        errors: Receives the errors.
    """
    folders = data_folders(root, data, errors)
    images: Files = {}
    masks: Files = {}
    names: dict[str, Names] = {}
    for part, (image_folder, mask_folder) in folders.items():
        others = {folder for pair in folders.values() for folder in pair}
        found = _index_pair(image_folder, mask_folder, data, others, errors)
        prefix = "" if part == "train" else f"{part}/"
        names[part] = tuple(prefix + name for name in found[0])
        for all_files, files in zip((images, masks), found, strict=True):
            for name, path in files.items():
                add_file(all_files, prefix + name, path, errors)
    return FolderFiles(images, masks, names["train"], names.get("val", ()), names.get("test", ()))


def list_entries(root: Path, data: DataSection, files: FolderFiles) -> Entries:
    """Describe what the entries of lists mean in a folder data set.

    An entry may be a name, or a path relative to the root or to a folder of images, or an absolute path.

    Args:
        root: Folder of the data set.
        data: Section `[data]` of the recipe.
        files: The files by name.

    Example:

    >>> files = FolderFiles({"a": Path("data/images/a_rgb.png")}, {}, ("a",), (), ())
    >>> entries = list_entries(Path("data"), DataSection(dataset="folder", root="data"), files)
    >>> [entries.canonical(entry) for entry in ("a", "a_rgb", "images/a_rgb", "missing")]
    ['a', 'a', 'a', 'missing']
    """
    images = files.images
    named = (data.val_images, data.test_images, data.images)  # the last folder has priority
    folders = [root, *(_absolute(root, folder) for folder in named)]

    @cache
    def aliases() -> dict[str, str]:
        found = {}
        for folder in folders:
            start = normal(f"{folder}{os.sep}")
            for name, path in images.items():
                stem = normal(os.path.splitext(path)[0])
                found[os.path.abspath(stem).replace(os.sep, "/")] = name
                if stem.startswith(start):
                    found[stem.removeprefix(start).replace(os.sep, "/")] = name
        return found

    def canonical(entry: str) -> str:
        return entry if entry in images else aliases().get(entry, entry)

    def other_mask(name: str, entry: str) -> Path | None:
        taken = files.masks.get(name)
        if taken is None or canonical(without_suffix(entry.removeprefix("/"))) == name:
            return None  # an unlabelled image, whose line names it twice
        folders = [root, *(_absolute(root, folder) for folder in (data.masks, data.images))]
        meant = {os.path.realpath(folder / entry.removeprefix("/")) for folder in folders}
        return None if os.path.realpath(taken) in {*meant, os.path.realpath(entry)} else taken

    return Entries(canonical, lambda entry: entry in images or entry in aliases(), other_mask)


def data_folders(root: Path, data: DataSection, errors: ErrorList) -> dict[str, tuple[Path, Path]]:
    """Find the folders of images and masks of every part with its own folders.

    Args:
        root: Folder of the data set, which relative folders refer to.
        data: Section `[data]` of the recipe.
        errors: Receives the errors.
    """
    folders = {}
    for part, prefix in (("train", ""), ("val", "val_"), ("test", "test_")):
        named = [(key, getattr(data, key)) for key in (f"{prefix}images", f"{prefix}masks")]
        if not all(folder for _, folder in named):
            continue
        for key, folder in named:
            if not _absolute(root, folder).is_dir():
                errors.add(f"the folder {_absolute(root, folder)} does not exist (data.{key})")
        folders[part] = tuple(_absolute(root, folder) for _, folder in named)
        if part != "train" and folders[part][0] == folders["train"][0]:
            errors.add(
                f"data.{part}_images and data.images are the same folder: list {part} images in data.{part}"
            )
    return folders


def _absolute(root: Path, folder: str) -> Path:
    return Path(os.path.normpath(root / Path(folder).expanduser()))


def _index_pair(
    image_folder: Path, mask_folder: Path, data: DataSection, others: Set[Path], errors: ErrorList
) -> tuple[Files, Files]:
    """Index the images and masks of a part. If both patterns match a file, the longer one has priority."""
    image_pattern, mask_pattern = (
        str(Pattern.parse(pattern) or Pattern()) for pattern in (data.image_pattern, data.mask_pattern)
    )
    suffixes = IMAGE_SUFFIXES
    mask_suffixes = MASK_SUFFIXES if data.mask_threshold < 0 else (*MASK_SUFFIXES, *LOSSY_SUFFIXES)
    if image_folder == mask_folder and image_pattern == mask_pattern:
        suffixes = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in MASK_SUFFIXES)

    def index(folder: Path, suffixes: tuple[str, ...], pattern: str, taken: Files) -> Files:
        inside = taken.values() if image_folder == mask_folder else ()
        skip = {*others, *inside} - {folder}
        return index_files(folder, suffixes, errors, pattern=pattern, skip=skip)

    if len(image_pattern) > len(mask_pattern):
        images = index(image_folder, suffixes, image_pattern, {})
        return images, match_masks(images, index(mask_folder, mask_suffixes, mask_pattern, images))
    masks = index(mask_folder, mask_suffixes, mask_pattern, {})
    images = index(image_folder, suffixes, image_pattern, masks)
    return images, match_masks(images, masks)


LAYOUT = Layout(
    "folder",
    """A folder data set (`usrn init` writes its recipe and lists) has the layout
    ROOT/images/ANY/NAME.jpg   images in any sub-folders (jpg, png, bmp, tif, webp)
    ROOT/masks/ANY/NAME.png    masks of the same names (png, bmp, tif, gif) whose values are class ids
    ROOT/classes.txt           one class name per line, the first has id 0; or data.classes in the recipe
    ROOT/palette.txt           one `RED GREEN BLUE` per line, the colours of the classes; optional unless
                               data.mask_format = 'colours'
data.images, data.masks, data.image_pattern and data.mask_pattern select other folders and files, and
data.val_images with data.val_masks separate validation images. data.val, and optionally data.labelled,
data.unlabelled and data.test, are list files in ROOT with one image per line: its path in the images folder
with or without suffix. """
    f"""data.split is a folder that `usrn split` wrote.
{LINE_FORMS}.""",
)


def load_folder(
    root: Path, data: DataSection, errors: ErrorList, extra_masks: Mapping[str, Path] | None = None
) -> Dataset:
    """Load a folder data set from the layout in `LAYOUT.help`. Its name is that of the folder.

    Without lists, images with a mask are labelled and images without a mask are unlabelled, except for the
    images in the val and test lists.

    Args:
        root: Folder of the data set.
        data: Section `[data]` of the recipe.
        errors: Receives the errors.
        extra_masks: Further masks by name, for lists only: they do not make an image labelled.
    """
    for line in data_contradictions(data):
        errors.add(line)
    files = index_folder(root, data, errors)
    classes = tuple(data.classes) or _read_classes(root / "classes.txt", errors)
    palette = _palette(root / "palette.txt", data, len(classes), errors)
    if data.mask_threshold >= 0:
        values = MaskValues(internal_ignore_index(len(classes)))
        if len(classes) != 2:
            errors.add(f"data.mask_threshold needs 2 classes, received {len(classes)}: {', '.join(classes)}")
    elif data.mask_format == "colours":
        values = colour_values(palette, data.ignore_colours, classes, errors)
    else:
        values = mask_values(data, classes, errors)
    dataset = assemble(
        LAYOUT,
        classes=classes,
        palette=palette,
        values=values,
        lists=_lists(root, data, files, errors),
        images=files.images,
        masks={**(extra_masks or {}), **files.masks},
        errors=errors,
    )
    threshold = data.mask_threshold if data.mask_threshold >= 0 else None
    return replace(dataset, name=root.resolve().name, mask_threshold=threshold)


def _read_classes(path: Path, errors: ErrorList) -> Names:
    try:
        classes = tuple(line for line in read_lines(path) if line) if path.is_file() else ()
    except DataError as error:
        errors.add(error.message)
        return ()
    if not classes:
        errors.add(f"the class names are missing: create {path}, or set data.classes")
    return classes


def _palette(path: Path, data: DataSection, num_classes: int, errors: ErrorList) -> np.ndarray:
    if path.is_file():
        return read_palette(path, num_classes, errors)
    if data.mask_format == "colours":
        errors.add(
            f"data.mask_format = 'colours' needs the file {path} with a line `RED GREEN BLUE` for each class"
        )
    return voc_palette(num_classes)


def _lists(root: Path, data: DataSection, files: FolderFiles, errors: ErrorList) -> Lists:
    given = given_lists(data, root, errors, list_entries(root, data, files))
    held_out = {*given.get("val", ()), *given.get("test", ())}
    rest = tuple(name for name in files.train if name not in held_out)
    lists = {"labelled": _with_masks(rest, files), "val": files.val, "test": files.test, **given}
    if "unlabelled" not in given:
        # With a split, an image that it does not list as labelled is unlabelled, even if it has a mask.
        left_out = set(lists["labelled"] if data.split else _with_masks(rest, files))
        lists["unlabelled"] = tuple(name for name in rest if name not in left_out)
    return Lists(**lists)


def _with_masks(names: Names, files: FolderFiles) -> Names:
    return tuple(name for name in names if name in files.masks)
