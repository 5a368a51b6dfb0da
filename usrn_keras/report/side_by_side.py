"""One image through the eyes of two models: image, label, predictions, and where they differ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from usrn_keras.report.page import Picture

SIDE = 320  # pixels that an image is made to fit into
NO_CLASS = (255, 255, 255)  # black is the background of many data sets
FADED = 120, 0.5  # brightness and contrast of pixels on which both agree
# Told apart by the colour-blind, too (Okabe and Ito).
BETTER, WORSE, BOTH_WRONG = (0, 114, 178), (230, 159, 0), (90, 90, 90)
QUALITY = 88  # of the JPEG of a photograph


@dataclass(frozen=True, eq=False)
class Compared:
    """An image and what models say of it.

    Args:
        name: Of the sample.
        image: `(height, width, 3)` uint8 RGB.
        labels: `(height, width)` class ids; others, such as -1, are of no class.
        predictions: Class ids `(height, width)` by name of the model; what the others are held against
            comes first.
        mious: mIoU of each model on this image alone, in 0..1; None, or empty, where it is not known.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    mious: Sequence[float | None] = ()

    def heading(self) -> str:
        """`town/0: mIoU Baseline 31.2 %, USRN 35.6 %`."""
        known = [
            f"{model} {100 * miou:.1f} %"
            for model, miou in zip(self.predictions, self.mious, strict=False)
            if miou is not None
        ]
        return f"{self.name}: mIoU {', '.join(known)}" if known else self.name


def pictures_of(row: Compared, palette: np.ndarray, rare: np.ndarray) -> list[Picture]:
    """Image, label, each prediction, and where the first and the last model differ.

    In all but the last, pixels of rare classes are outlined: in the image those of the label, in a map its
    own. A single model is held against the label.

    Args:
        row: What to show.
        palette: `(C, 3)` uint8 RGB.
        rare: `(C,)` bool.
    """
    image, labels = _fit(row.image), _fit(row.labels)
    maps = {"label": labels, **{name: _fit(ids) for name, ids in row.predictions.items()}}
    pictures = [_picture(_outlined(image, labels, rare), row, "image", photograph=True)]
    for name, ids in maps.items():
        pictures.append(_picture(_outlined(_coloured(ids, palette), ids, rare), row, name))
    differences = difference_map(image, labels, list(maps.values())[1:], len(palette))
    what = "where they differ" if len(row.predictions) > 1 else "where it is wrong"
    return [*pictures, _picture(differences, row, what, photograph=True)]


def difference_map(
    image: np.ndarray, labels: np.ndarray, predictions: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """The image in pale grey, in colour where the first and the last prediction differ.

    Blue: the last one alone is right. Orange: the first one alone is. Dark grey: they differ, both wrong.
    With one prediction, orange is where it is wrong. Pixels of no class stay grey.

    Args:
        image: `(height, width, 3)` uint8.
        labels: `(height, width)` class ids.
        predictions: One or more `(height, width)` class ids.
        classes: C.

    Returns:
        `(height, width, 3)` uint8.
    """
    brightness, contrast = FADED
    shown = np.repeat(brightness + contrast * image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    first, last = predictions[0], predictions[-1]
    known = (labels >= 0) & (labels < classes)
    if len(predictions) == 1:
        shown[known & (first != labels)] = WORSE
        return shown
    differ = known & (first != last)
    shown[differ] = BOTH_WRONG
    shown[differ & (last == labels)] = BETTER
    shown[differ & (first == labels)] = WORSE
    return shown


def difference_legend(models: Sequence[str]) -> list[tuple[str, tuple[int, int, int]]]:
    """What the colours of `difference_map` mean."""
    if len(models) == 1:
        return [(f"{models[0]} is wrong", WORSE)]
    first, last = models[0], models[-1]
    return [
        (f"only {last} is right", BETTER),
        (f"only {first} is right", WORSE),
        ("they differ, both wrong", BOTH_WRONG),
    ]


def _fit(array: np.ndarray) -> np.ndarray:
    """An image or a map, no larger than it is shown; maps come back as int32."""
    height, width = array.shape[:2]
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(scale * width)), max(1, round(scale * height))
    if array.ndim == 2:
        return cv2.resize(array.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA)


def _coloured(ids: np.ndarray, palette: np.ndarray) -> np.ndarray:
    known = (ids >= 0) & (ids < len(palette))
    return np.where(known[..., None], palette[np.where(known, ids, 0)], np.uint8(NO_CLASS)).astype(np.uint8)


def _outlined(picture: np.ndarray, ids: np.ndarray, rare: np.ndarray) -> np.ndarray:
    """A line around the pixels of rare classes, white with a black edge: it is seen on any ground."""
    known = (ids >= 0) & (ids < len(rare))
    inside = (known & rare[np.where(known, ids, 0)]).astype(np.uint8)
    white = cv2.dilate(inside, np.ones((3, 3), np.uint8)) - inside  # upon thin objects it would hide them
    black = cv2.dilate(inside, np.ones((5, 5), np.uint8)) - inside - white
    shown = picture.copy()
    shown[black > 0] = 0
    shown[white > 0] = 255
    return shown


def _picture(pixels: np.ndarray, row: Compared, what: str, photograph: bool = False) -> Picture:
    buffer, picture = io.BytesIO(), Image.fromarray(np.ascontiguousarray(pixels))
    if photograph:
        picture.save(buffer, "JPEG", quality=QUALITY)
    else:
        picture.save(buffer, "PNG", optimize=True)
    return Picture(buffer.getvalue(), f"{row.name}: {what}", what)
