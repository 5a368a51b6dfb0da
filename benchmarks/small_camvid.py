"""CamVid at half its size, which two cores can train on for many epochs of the unlabelled images."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SETTINGS = (
    "views.long_side=240",
    "views.scale_labelled=[0.7, 2.0]",
    "views.scale_unlabelled=[0.7, 2.0]",
    "training.baseline_steps=1200",
)
SHORT = ("controls", "proof", "screening")  # tables of half the steps of the recipe, for two cores
OF_TABLE = dict.fromkeys(SHORT, ("training.usrn_steps=2400",))
SPLITS = dict.fromkeys(SHORT, ("1_16",))  # the fewest masks: unlabelled images have most to give


def halved(source: Path, target: Path) -> Path:
    """Copy CamVid with images and masks of 240 x 180 pixels, once; an interrupted copy is started again.

    Four pixels of an image become their mean, as JPEG of quality 95; of four pixels of a mask the lower
    right one is kept.
    """
    if target.exists():
        return target
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished, ignore=shutil.ignore_patterns("*.jpg", "*.png"))
    for file in sorted(source.rglob("*.jpg")):
        image = cv2.resize(cv2.imread(str(file)), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        place = unfinished / file.relative_to(source)
        if not cv2.imwrite(str(place), image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
            raise OSError(f"{place} could not be written")
    for file in sorted(source.rglob("*.png")):
        with Image.open(file) as mask:
            small = Image.fromarray(np.asarray(mask)[1::2, 1::2])
            if mask.mode == "P":
                small.putpalette(mask.getpalette())
        small.save(unfinished / file.relative_to(source))
    return unfinished.rename(target)
