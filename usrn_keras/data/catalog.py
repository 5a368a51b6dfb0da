"""The data sets by name: from the `[data]` section of a recipe to the `Dataset` it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, Faults
from usrn_keras.data.file_index import index_files
from usrn_keras.data.formats import camvid, cityscapes, folder, voc
from usrn_keras.data.formats.assemble import Layout
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.errors import DataError
from usrn_keras.files import cache_folder
from usrn_keras.recipe.schema import DataSection


def with_all_labels(dataset: Dataset, faults: Faults) -> Dataset:
    """The data set with every unlabelled image that has a mask among the labelled ones, too.

    They stay unlabelled as well. Without any mask more, that is added to `faults`.
    """
    masked = tuple(sample for sample in dataset.unlabelled if sample.mask is not None)
    if not masked:
        faults.add(
            f"data.labels = `all`: none of the {len(dataset.unlabelled)} unlabelled images has a mask; "
            "`split` trains on the labelled ones"
        )
    return replace(dataset, labelled=dataset.labelled + masked)


LAYOUTS: dict[str, tuple[Layout, Callable[[Path, DataSection, Faults], Dataset]]] = {
    "folder": (folder.LAYOUT, folder.load_folder),
    "camvid": (camvid.LAYOUT, camvid.load_camvid),
    "voc": (voc.LAYOUT, voc.load_voc),
    "cityscapes": (cityscapes.LAYOUT, cityscapes.load_cityscapes),
}


def load_dataset(data: DataSection, faults: Faults | None = None) -> Dataset:
    """The data set that a recipe names. Lists its files; decodes none of them.

    Args:
        data: The section of the recipe.
        faults: Takes what is wrong, and what can be used comes back; None: what is wrong is raised.

    Raises:
        DataError: root, files or lists are missing or do not fit together; every fault is named,
            and how to get the data set and lay it out. Not raised with `faults`.

    Example:

    >>> load_dataset(DataSection(dataset="camvid", root="camvid", split="1_8"))   # doctest: +SKIP
    """
    found = Faults() if faults is None else faults
    if data.dataset == "quickstart":
        layout, data = folder.LAYOUT, _quickstart(data)
        root, dataset = Path(data.root), _load_quickstart(data, found)
    else:
        layout, load = LAYOUTS[data.dataset]
        root = root_of(data)
        if message := _root_fault(data):
            if faults is None:
                raise DataError(message, hint=layout.help)
            faults.add(message)
            return _nothing(data)
        dataset = load(root, data, found)
    if data.labels == "all":
        dataset = with_all_labels(dataset, found)
    if faults is None:
        found.raise_if_any(f"the {layout.name} data set in {root} cannot be used:", hint=layout.help)
    return dataset


def root_of(data: DataSection) -> Path:
    """The folder of the data set, whether it exists or not."""
    if data.dataset != "quickstart" or data.root:
        return Path(data.root).expanduser()
    from usrn_keras.data.quickstart.street_scenes import VERSION

    return cache_folder() / f"quickstart-v{VERSION}"


def layout_help(data: DataSection) -> str:
    """How to get the data set and lay it out."""
    return LAYOUTS.get(data.dataset, LAYOUTS["folder"])[0].help


def _root_fault(data: DataSection) -> str:
    if not data.root:
        return f"data.root is empty: the {data.dataset} data set needs its folder"
    return "" if root_of(data).is_dir() else f"data.root = `{data.root}` is no folder"


def _nothing(data: DataSection) -> Dataset:
    palette = np.zeros((len(data.classes), 3), np.uint8)
    return Dataset(data.dataset, tuple(data.classes), palette, (), (), ())


def _quickstart(data: DataSection) -> DataSection:
    """The scenes that the package draws itself: a folder data set with lists of its own."""
    from usrn_keras.data.quickstart.street_scenes import make_quickstart

    root = root_of(data)
    make_quickstart(root)
    parts = ("val",) if data.split else ("labelled", "unlabelled", "val")
    if data.split and (root / data.split / "val.txt").exists():
        parts = ()
    lists = {part: getattr(data, part) or f"lists/{part}.txt" for part in parts}
    return data.model_copy(update={"root": str(root), **lists})


def _load_quickstart(data: DataSection, faults: Faults) -> Dataset:
    """The masks of the unlabelled scenes lie apart: without lists, their images stay unlabelled."""
    root = Path(data.root)
    apart = index_files(root / "masks_unlabelled", MASK_SUFFIXES, faults)
    return replace(folder.load_folder(root, data, faults, apart), name="quickstart")
