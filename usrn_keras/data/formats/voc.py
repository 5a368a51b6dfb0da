"""PASCAL VOC 2012 with the additional masks (SegmentationClassAug), and the official USRN splits."""

from __future__ import annotations

from pathlib import Path

from usrn_keras.data.dataset import Dataset, ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import index_files
from usrn_keras.data.formats.assemble import Layout, assemble
from usrn_keras.data.formats.lists import split_lists
from usrn_keras.data.mask_values import mask_values, voc_palette
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.recipe.schema import DataSection

LAYOUT = Layout(
    "voc",
    """PASCAL VOC 2012 (VOCtrainval_11-May-2012.tar) is at host.robots.ox.ac.uk/pascal/VOC/voc2012; the
additional masks (SegmentationClassAug, made from the SBD data set) are separate. The layout is
    ROOT/JPEGImages/NAME.jpg              ROOT may also be the parent folder of VOC2012 or VOCdevkit
    ROOT/SegmentationClassAug/NAME.png    masks of the 10582 training images
    ROOT/SegmentationClass/NAME.png       masks of the 1449 validation images, or in SegmentationClassAug
data.split is 1_64, 1_32 or 1_16, or a folder that `usrn split` wrote.""",
)
CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train"),
    "tvmonitor",
)


def load_voc(root: Path, data: DataSection, errors: ErrorList) -> Dataset:
    """Load PASCAL VOC 2012 from the layout in `LAYOUT.help`.

    Args:
        root: Folder of the data set.
        data: Section `[data]` of the recipe.
        errors: Receives the errors.
    """
    inner = _inner_root(root)
    originals = index_files(inner / "SegmentationClass", MASK_SUFFIXES, errors)
    augmented = index_files(inner / "SegmentationClassAug", MASK_SUFFIXES, errors)
    lists = split_lists("voc", data, root, errors)
    # Training masks come only from SegmentationClassAug: the original masks differ at borders.
    val_originals = {name: originals[name] for name in (*lists.val, *lists.test) if name in originals}
    return assemble(
        LAYOUT,
        classes=CLASSES,
        palette=voc_palette(len(CLASSES)),
        values=mask_values(data, CLASSES, errors),
        lists=lists,
        images=index_files(inner / "JPEGImages", IMAGE_SUFFIXES, errors),
        masks={**val_originals, **augmented},
        errors=errors,
    )


def _inner_root(root: Path) -> Path:
    """Find the folder that contains JPEGImages: `root`, or the folder of the unpacked archive below it."""
    candidates = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    return next((folder for folder in candidates if (folder / "JPEGImages").is_dir()), root)
