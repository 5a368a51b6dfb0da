"""Cityscapes, 19 classes, with the official USRN splits of its 2975 training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import index_parts
from usrn_keras.data.formats.assemble import Layout, assemble
from usrn_keras.data.formats.lists import Entries, Lists, split_lists
from usrn_keras.data.mask_values import MaskValues, internal_ignore_index, mask_values
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.recipe.schema import DataSection

LAYOUT = Layout(
    "cityscapes",
    """Cityscapes (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip) is at www.cityscapes-dataset.com,
after registration. Unpack both archives to one folder:
    ROOT/leftImg8bit/{train,val,test}/CITY/NAME_leftImg8bit.png
    ROOT/gtFine/{train,val}/CITY/NAME_gtFine_labelTrainIds.png   or NAME_gtFine_labelIds.png
or use the layout of the official USRN code; the folders CITY, train and val are optional in both layouts:
    ROOT/images/{train,val}/NAME_leftImg8bit.png
    ROOT/segmentation/{train,val}/NAME_gtFine_labelTrainIds.png   or NAME_gtFine_labelIds.png
data.split is 1_32, 1_16 or 1_8, or a folder that `usrn split` wrote.""",
)
PARTS = ("train", "val", "test")

# Name, colour and label id of every class, in the order of the train ids.
TABLE = (
    ("road", (128, 64, 128), 7),
    ("sidewalk", (244, 35, 232), 8),
    ("building", (70, 70, 70), 11),
    ("wall", (102, 102, 156), 12),
    ("fence", (190, 153, 153), 13),
    ("pole", (153, 153, 153), 17),
    ("traffic light", (250, 170, 30), 19),
    ("traffic sign", (220, 220, 0), 20),
    ("vegetation", (107, 142, 35), 21),
    ("terrain", (152, 251, 152), 22),
    ("sky", (70, 130, 180), 23),
    ("person", (220, 20, 60), 24),
    ("rider", (255, 0, 0), 25),
    ("car", (0, 0, 142), 26),
    ("truck", (0, 0, 70), 27),
    ("bus", (0, 60, 100), 28),
    ("train", (0, 80, 100), 31),
    ("motorcycle", (0, 0, 230), 32),
    ("bicycle", (119, 11, 32), 33),
)
NUM_LABEL_IDS = 34


def load_cityscapes(root: Path, data: DataSection, errors: ErrorList) -> Dataset:
    """Load Cityscapes from the layout in `LAYOUT.help`.

    Masks are read from labelTrainIds files, or, if these are incomplete, from labelIds files with the
    official table of ids.

    Args:
        root: Folder of the data set.
        data: Section `[data]` of the recipe.
        errors: Receives the errors.
    """
    classes = tuple(name for name, _, _ in TABLE)
    lists = split_lists("cityscapes", data, root, errors, Entries(_official_name))
    flat = (root / "images").is_dir() and not (root / "leftImg8bit").is_dir()
    masks, are_label_ids = _masks(root / ("segmentation" if flat else "gtFine"), lists, errors)
    return assemble(
        LAYOUT,
        classes=classes,
        palette=np.array([colour for _, colour, _ in TABLE], np.uint8),
        values=_label_id_values() if are_label_ids else mask_values(data, classes, errors),
        lists=lists,
        images=_index(root / ("images" if flat else "leftImg8bit"), IMAGE_SUFFIXES, errors, "leftImg8bit"),
        masks=masks,
        errors=errors,
    )


def label_id_map(ignore_index: int = 255) -> np.ndarray:
    """Class id (train id) by label id, `(34,)` int32; `ignore_index` for other label ids."""
    id_map = np.full(NUM_LABEL_IDS, ignore_index, np.int32)
    for class_id, (_, _, label_id) in enumerate(TABLE):
        id_map[label_id] = class_id
    return id_map


def _label_id_values() -> MaskValues:
    ignore_index = internal_ignore_index(len(TABLE))
    return MaskValues(ignore_index, label_id_map(ignore_index))


def _masks(folder: Path, lists: Lists, errors: ErrorList) -> tuple[dict[str, Path], bool]:
    """Index the kind of masks with fewer missing files; returns the masks and whether they are labelIds."""
    train_ids = _index(folder, MASK_SUFFIXES, errors, "gtFine_labelTrainIds")
    label_ids = _index(folder, MASK_SUFFIXES, errors, "gtFine_labelIds")
    needed = {*lists.labelled, *lists.val, *lists.test}
    if len(needed - train_ids.keys()) <= len(needed - label_ids.keys()):
        return train_ids, False
    return label_ids, True


def _index(folder: Path, suffixes: tuple[str, ...], errors: ErrorList, ending: str) -> dict[str, Path]:
    """Index files by their official name, with or without city folders."""
    found = index_parts(folder, PARTS, suffixes, errors, pattern=f"{{name}}_{ending}")
    return {_official_name(name): path for name, path in found.items()}


def _official_name(entry: str) -> str:
    """Convert a name or path to `CITY/NAME`: every name in Cityscapes starts with its city.

    >>> _official_name("images/train/jena_000025_000019_leftImg8bit")
    'jena/jena_000025_000019'
    """
    name = entry.rsplit("/", 1)[-1].removesuffix("_leftImg8bit")
    return f"{name.split('_', 1)[0]}/{name}"
