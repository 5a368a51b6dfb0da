"""Cityscapes, 19 classes, with the official USRN splits of its 2975 training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.images import IMAGE_SUFFIXES
from usrn_keras.data.files.masks import MASK_SUFFIXES
from usrn_keras.data.layouts.assemble import Layout, assemble, find_root
from usrn_keras.data.layouts.lists import Lists, index_parts, split_lists
from usrn_keras.data.sample import Dataset
from usrn_keras.recipe.schema import Data

LAYOUT = Layout(
    "cityscapes",
    """Cityscapes (leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip) is at www.cityscapes-dataset.com,
after registration. Unpack both archives into one folder:
    ROOT/leftImg8bit/{train,val,test}/CITY/NAME_leftImg8bit.png
    ROOT/gtFine/{train,val}/CITY/NAME_gtFine_labelTrainIds.png   or NAME_gtFine_labelIds.png
data.split is 1_32, 1_16 or 1_8.""",
)
PARTS = ("train", "val", "test")

# Name, colour and id in the labelIds files of every class, in the order of the train ids.
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


def load_cityscapes(data: Data) -> Dataset:
    """Cityscapes; see `LAYOUT.help` for how it is laid out.

    Masks are read from labelTrainIds; where those are not complete, from labelIds through the
    official table.

    Raises:
        DataError: with every fault found.
    """
    root, faults = find_root(data.root, LAYOUT), Faults()
    lists = split_lists("cityscapes", data, IMAGE_SUFFIXES, faults)
    images = index_parts(root / "leftImg8bit", PARTS, IMAGE_SUFFIXES, faults, ending="_leftImg8bit")
    masks, id_map = _masks(root / "gtFine", lists, data.ignore_index, faults)
    return assemble(
        LAYOUT,
        root,
        classes=tuple(name for name, _, _ in TABLE),
        palette=np.array([colour for _, colour, _ in TABLE], np.uint8),
        lists=lists,
        images=images,
        masks=masks,
        faults=faults,
        ignore_index=data.ignore_index,
        id_map=id_map,
    )


def label_id_map(ignore_index: int = 255) -> np.ndarray:
    """Class id (train id) by label id, `(34,)` uint8 or uint16; `ignore_index` for the others."""
    id_map = np.full(NUM_LABEL_IDS, ignore_index, np.uint8 if ignore_index < 256 else np.uint16)
    for class_id, (_, _, label_id) in enumerate(TABLE):
        id_map[label_id] = class_id
    return id_map


def _masks(
    folder: Path, lists: Lists, ignore_index: int, faults: Faults
) -> tuple[dict[str, Path], np.ndarray | None]:
    """The masks of one kind, the kind that misses fewer of those needed, and the table it needs."""
    train_ids = index_parts(folder, PARTS, MASK_SUFFIXES, faults, ending="_gtFine_labelTrainIds")
    label_ids = index_parts(folder, PARTS, MASK_SUFFIXES, faults, ending="_gtFine_labelIds")
    needed = {*lists.labelled, *lists.val, *lists.test}
    if len(needed - train_ids.keys()) <= len(needed - label_ids.keys()):
        return train_ids, None
    return label_ids, label_id_map(ignore_index)
