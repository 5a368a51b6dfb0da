"""An account of the files of a folder data set: which are left out, and why."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from usrn_keras.data import Dataset
from usrn_keras.data.catalog import collection_paused
from usrn_keras.data.dataset import PARTS, ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import is_utf8, join_path, walk
from usrn_keras.data.formats.folder import FolderFiles, data_folders, index_folder
from usrn_keras.data.left_out_files import LeftOut, describe_not_listed, describe_unmatched, find_unread
from usrn_keras.data.masks import LOSSY_SUFFIXES, MASK_SUFFIXES
from usrn_keras.inspection.data_findings import FILES_LEFT_OUT, MASK_WITHOUT_IMAGE, DataFinding
from usrn_keras.recipe.schema import DataSection


@collection_paused()
def account_for_files(data: DataSection, dataset: Dataset) -> list[DataFinding]:
    """Find the files in the folders of a data set that it does not use.

    Args:
        data: Section `[data]` of the recipe.
        dataset: Data set of the recipe.

    Returns:
        Findings for masks without an image, pictures in other formats, images and masks that no pattern
        matches, and images in no list; only folder data sets can have them.
    """
    if data.dataset != "folder":
        return []
    root = Path(data.root).expanduser()
    files = index_folder(root, data, ErrorList())  # its errors are already reported
    folders = data_folders(root, data, ErrorList())
    pairs = list(folders.values())
    found = find_unread(dict.fromkeys(folder for pair in pairs for folder in pair))
    found += _unmatched(data, files, pairs)
    found += describe_not_listed(_not_listed(files, dataset))
    return [
        *masks_without_image(files),
        *(DataFinding(FILES_LEFT_OUT, one.message, one.advice, one.files) for one in found),
    ]


def masks_without_image(files: FolderFiles) -> list[DataFinding]:
    """Find masks without an image."""
    return [
        DataFinding(
            MASK_WITHOUT_IMAGE,
            f"{files.masks[name]}: there is no image named {name}",
            "An image without a mask of the same name is unlabelled: rename one of the two, or remove the "
            "mask.",
            (files.masks[name],),
        )
        for name in sorted(files.masks.keys() - files.images.keys())
    ]


def _unmatched(data: DataSection, files: FolderFiles, pairs: Sequence[tuple[Path, Path]]) -> list[LeftOut]:
    """Find images and masks whose names do not match the patterns."""
    used = {*map(str, files.images.values()), *map(str, files.masks.values())}
    images: dict[Path, None] = {}
    masks: dict[Path, None] = {}
    all_folders = {folder for pair in pairs for folder in pair}
    mask_suffixes = MASK_SUFFIXES if data.mask_threshold < 0 else (*MASK_SUFFIXES, *LOSSY_SUFFIXES)
    for image_folder, mask_folder in pairs:
        for folder, suffixes, found in (
            (image_folder, IMAGE_SUFFIXES, images),
            (mask_folder, mask_suffixes, masks),
        ):
            if found is masks and mask_folder == image_folder:
                continue  # which of them were meant as masks is not known
            listed = _files(folder, suffixes, all_folders - {folder})
            found.update(dict.fromkeys(sorted(Path(path) for path in listed if path not in used)))
    return describe_unmatched(list(images), list(masks), data.image_pattern, data.mask_pattern)


def _files(folder: Path, suffixes: tuple[str, ...], others: set[Path]) -> list[str]:
    """Paths of all files of a folder with one of the suffixes, also of those with equal names."""
    found, skipped = [], set(map(str, others))
    for parent, subfolders, files in walk(folder, ErrorList().add):
        subfolders[:] = [name for name in subfolders if join_path(parent, name) not in skipped]
        named = (file for file in files if os.path.splitext(file)[1].lower() in suffixes)
        found += [path for path in (join_path(parent, file) for file in named) if is_utf8(path)]
    return found


def _not_listed(files: FolderFiles, dataset: Dataset) -> list[Path]:
    listed = {sample.name for part in PARTS for sample in getattr(dataset, part)}
    return [files.images[name] for name in sorted(files.images) if name not in listed]
