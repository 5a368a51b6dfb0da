"""Load the data set of the `[data]` section of a recipe."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import PARTS, Dataset, ErrorList
from usrn_keras.data.file_index import index_files
from usrn_keras.data.formats import camvid, cityscapes, folder, voc
from usrn_keras.data.formats.assemble import Layout
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.errors import DataError
from usrn_keras.files import cache_folder
from usrn_keras.printable import has_control_characters
from usrn_keras.recipe.bands import parse_bands
from usrn_keras.recipe.schema import DataSection


def with_all_labels(dataset: Dataset, errors: ErrorList) -> Dataset:
    """Add every unlabelled image that has a mask to the labelled images. It stays unlabelled as well.

    Args:
        dataset: DataSection set to extend.
        errors: Receives an error if no unlabelled image has a mask.
    """
    masked = tuple(sample for sample in dataset.unlabelled if sample.mask is not None)
    if not masked:
        errors.add(
            f"data.labels = `all`: none of the {len(dataset.unlabelled)} unlabelled images has a mask; "
            "use `split` to train on the labelled images"
        )
    return replace(dataset, labelled=dataset.labelled + masked)


LAYOUTS: dict[str, tuple[Layout, Callable[[Path, DataSection, ErrorList], Dataset]]] = {
    "folder": (folder.LAYOUT, folder.load_folder),
    "camvid": (camvid.LAYOUT, camvid.load_camvid),
    "voc": (voc.LAYOUT, voc.load_voc),
    "cityscapes": (cityscapes.LAYOUT, cityscapes.load_cityscapes),
}


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """Pause the search for circles of objects: time would grow faster than the number of paths and samples.

    Each of its full searches looks at all objects that are there, and more objects cause more searches.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@collection_paused()
def load_dataset(data: DataSection, errors: ErrorList | None = None) -> Dataset:
    """Load the data set of a recipe. Its files are listed but not decoded.

    Args:
        data: Section `[data]` of the recipe.
        errors: Receives all errors, and the usable part of the data set is returned. If None, errors are
            raised.

    Raises:
        DataError: The root, files or lists are missing or inconsistent. The message lists every error, the
            hint describes the expected folder layout. Not raised with `errors`.

    Example:

    >>> load_dataset(DataSection(dataset="camvid", root="camvid", split="1_8"))   # doctest: +SKIP
    """
    found = ErrorList() if errors is None else errors
    if data.dataset == "quickstart":
        layout, data = folder.LAYOUT, _quickstart(data)
        root, dataset = Path(data.root), _load_quickstart(data, found)
    else:
        layout, load = LAYOUTS[data.dataset]
        root = root_of(data)
        if message := _root_error(data):
            if errors is None:
                raise DataError(message, hint=layout.help)
            errors.add(message)
            palette = np.zeros((len(data.classes), 3), np.uint8)
            return Dataset(data.dataset, tuple(data.classes), palette, (), (), ())
        dataset = load(root, data, found)
    if data.value_range or data.bands:
        dataset = _with_reading(dataset, data)
    if data.labels == "all":
        dataset = with_all_labels(dataset, found)
    _check_names(dataset, found)
    if errors is None:
        found.raise_if_any(f"the {layout.name} data set in {root} cannot be used:", hint=layout.help)
    return dataset


def _with_reading(dataset: Dataset, data: DataSection) -> Dataset:
    """Add the value range and the bands of the recipe to all samples."""
    how = {"value_range": tuple(data.value_range) or None, "bands": parse_bands(data.bands)}
    parts = {part: tuple(replace(sample, **how) for sample in getattr(dataset, part)) for part in PARTS}
    return replace(dataset, **parts)


def _check_names(dataset: Dataset, errors: ErrorList) -> None:
    """Refuse names that could change what a terminal shows, or that a line of a list cannot hold."""
    names = [("class", name) for name in dataset.classes]
    names += [("image", sample.name) for part in PARTS for sample in getattr(dataset, part)]
    for kind, name in dict.fromkeys(names):
        if has_control_characters(name):
            errors.add(f"the {kind} name {name!a} contains control characters: rename it")


def root_of(data: DataSection) -> Path:
    """Folder of the data set, which may not exist."""
    if data.dataset != "quickstart" or data.root:
        return Path(data.root).expanduser()
    from usrn_keras.data.quickstart.aerial_images import VERSION

    return cache_folder() / f"quickstart-v{VERSION}"


def layout_help(data: DataSection) -> str:
    """Describe how to get the data set and its folder layout."""
    return LAYOUTS.get(data.dataset, LAYOUTS["folder"])[0].help


def _root_error(data: DataSection) -> str:
    if not data.root:
        return f"data.root is empty: set it to the folder of the {data.dataset} data set"
    return "" if root_of(data).is_dir() else f"data.root = `{data.root}` is not a folder"


def _quickstart(data: DataSection) -> DataSection:
    """Write the generated aerial scenes if needed and describe them as a folder data set with lists."""
    from usrn_keras.data.quickstart.aerial_images import make_quickstart

    root = root_of(data)
    make_quickstart(root)
    parts = ("val", "test") if data.split else ("labelled", "unlabelled", "val", "test")
    if data.split and (root / data.split / "val.txt").exists():
        parts = ("test",)
    lists = {part: getattr(data, part) or f"lists/{part}.txt" for part in parts}
    return data.model_copy(update={"root": str(root), **lists})


def _load_quickstart(data: DataSection, errors: ErrorList) -> Dataset:
    """Load the quickstart scenes. The masks of unlabelled scenes have their own folder and add no labels."""
    root = Path(data.root)
    extra_masks = index_files(root / "masks_unlabelled", MASK_SUFFIXES, errors)
    return replace(folder.load_folder(root, data, errors, extra_masks), name="quickstart")
