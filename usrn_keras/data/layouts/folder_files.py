"""The images and masks of a folder data set, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.images import IMAGE_SUFFIXES
from usrn_keras.data.files.masks import MASK_SUFFIXES
from usrn_keras.data.layouts.index import index_files
from usrn_keras.data.layouts.lists import Names
from usrn_keras.recipe.checks import PLACEHOLDER
from usrn_keras.recipe.schema import Data

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


def index_folder(root: Path, data: Data, faults: Faults) -> FolderFiles:
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


def canonical_names(root: Path, data: Data, images: Mapping[str, Path]) -> Callable[[str], str]:
    """What an entry of a list is called: a name as it is, a path from the root or its folder by its image.

    Example:

    >>> images = {"a": Path("data/images/a_rgb.png")}
    >>> name_of = canonical_names(Path("data"), Data(dataset="folder", root="data"), images)
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


def _folders(root: Path, data: Data, faults: Faults) -> dict[str, tuple[Path, Path]]:
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
    image_folder: Path, mask_folder: Path, data: Data, others: Set[Path], faults: Faults
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
