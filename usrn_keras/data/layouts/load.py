"""From the `[data]` section of a recipe to the data set it names."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from usrn_keras.data.layouts.camvid import load_camvid
from usrn_keras.data.layouts.cityscapes import load_cityscapes
from usrn_keras.data.layouts.folder import load_folder
from usrn_keras.data.layouts.voc import load_voc
from usrn_keras.data.sample import Dataset, Sample
from usrn_keras.recipe.schema import Data


def load_dataset(data: Data) -> Dataset:
    """The data set that a recipe names. Lists its files; decodes none of them.

    Raises:
        DataError: root, files or lists are missing or do not fit together; every fault is named,
            and how to get the data set and lay it out.

    Example:

    >>> load_dataset(Data(dataset="camvid", root="camvid", split="1_8"))   # doctest: +SKIP
    """
    loaders = {
        "quickstart": _load_quickstart,
        "folder": load_folder,
        "camvid": load_camvid,
        "voc": load_voc,
        "cityscapes": load_cityscapes,
    }
    return loaders[data.dataset](data)


def _load_quickstart(data: Data) -> Dataset:
    """The scenes that the package draws itself: a folder data set with lists of its own.

    The masks of the unlabelled scenes lie apart, so that no list of a recipe takes them by mistake.
    """
    from usrn_keras.quickstart.dataset import VERSION, make_quickstart

    root = Path(data.root).expanduser() if data.root else _cache_folder() / f"quickstart-v{VERSION}"
    make_quickstart(root)
    lists = {part: getattr(data, part) or f"lists/{part}.txt" for part in ("labelled", "unlabelled", "val")}
    dataset = load_folder(data.model_copy(update={"root": str(root), **lists}))
    unlabelled = tuple(_with_mask(sample, root / "masks_unlabelled") for sample in dataset.unlabelled)
    return replace(dataset, name="quickstart", unlabelled=unlabelled)


def _with_mask(sample: Sample, folder: Path) -> Sample:
    mask = folder / f"{sample.name}.png"
    return replace(sample, mask=mask) if mask.is_file() else sample


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usrn-keras"
