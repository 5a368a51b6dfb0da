"""Pictures of a segmentation: class ids as a palette PNG, maps in colour, the differences between models."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image

from usrn_keras.errors import DataError
from usrn_keras.report.page_parts import Picture

OVERLAY_OPACITY = 0.5
ROWS_AT_ONCE = 512  # of a picture that is computed in float64
PALETTE_SIZE = 256  # entries of a palette PNG
SIDE = 320  # pixels of the longer side of a picture on a page
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
NO_CLASS = WHITE  # black is the background of many data sets
FADED = 120, 0.5  # brightness and contrast of pixels that are not in question
# Distinguishable for the colour-blind, too (Okabe and Ito).
BETTER, WORSE, BOTH_WRONG = (0, 114, 178), (230, 159, 0), (90, 90, 90)
JPEG_QUALITY = 82


@dataclass(frozen=True, eq=False)
class PredictedImage:
    """An image with its label and the predictions of one or more models.

    Args:
        name: Name of the sample.
        image: `(height, width, 3)` uint8 RGB.
        labels: `(height, width)` class ids; any other value, such as -1, is no class.
        predictions: Class ids `(height, width)` by name of the model, the reference model first.
        mious: mIoU of each model on this image alone, in 0..1; None, or empty, if unknown.
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    mious: Sequence[float | None] = ()

    def heading(self) -> str:
        """Name and scores: `town/0: mIoU supervised 31.2 %, self-training 35.6 %`."""
        return f"{self.name}: {known}" if (known := self.score()) else self.name

    def score(self) -> str:
        """`mIoU supervised 31.2 %, self-training 35.6 %`; empty if nothing is known."""
        known = [
            f"{model} {100 * miou:.1f} %"
            for model, miou in zip(self.predictions, self.mious, strict=False)
            if miou is not None
        ]
        return f"mIoU {', '.join(known)}" if known else ""

    def smaller(self, side: int) -> PredictedImage:
        """The same image with arrays of at most `side` pixels."""
        image, labels = (fit(array, side, side, enlarge=False) for array in (self.image, self.labels))
        maps = {name: fit(ids, side, side, enlarge=False) for name, ids in self.predictions.items()}
        return replace(self, image=image, labels=labels, predictions=maps)


def palette_png(labels: np.ndarray, palette: np.ndarray, **options: bool) -> bytes:
    """A PNG file whose values are class ids and whose palette holds the colours of the classes.

    Args:
        labels: (height, width) integers, class ids.
        palette: (C, 3) uint8 RGB, C at most 256.
        **options: Options of Pillow's PNG writer, such as `optimize`.

    Raises:
        DataError: There are more classes than a palette PNG can hold.
    """
    if len(palette) > PALETTE_SIZE:
        raise DataError(f"a palette PNG holds at most {PALETTE_SIZE} classes, the run has {len(palette)}")
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette.astype(np.uint8).tobytes())
    return png_bytes(picture, **options)


def labels_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file of class ids: a palette PNG, or grey values of 16 bits for more than 256 classes.

    Args:
        labels: (height, width) integers, class ids.
        palette: (C, 3) uint8 RGB.
    """
    if len(palette) <= PALETTE_SIZE:
        return palette_png(labels, palette)
    return cv2.imencode(".png", labels.astype(np.uint16))[1].tobytes()


def overlay_png(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file of the image, (height, width, 3) uint8, half covered by the colours of its classes."""
    mixed = np.empty_like(image)
    for rows in range(0, len(image), ROWS_AT_ONCE):  # float64 takes eight times the memory of the image
        part = slice(rows, rows + ROWS_AT_ONCE)
        mixed[part] = ((1 - OVERLAY_OPACITY) * image[part] + OVERLAY_OPACITY * palette[labels[part]]).round()
    return png_bytes(Image.fromarray(mixed))


def pictures_of(
    row: PredictedImage, palette: np.ndarray, rare: np.ndarray, side: int = SIDE
) -> list[Picture]:
    """Image, label, each prediction, and where the first and the last model differ.

    In all but the last picture, pixels of rare classes are outlined: in the image those of the label, in a
    map its own. A single model is compared with the label.

    Args:
        row: Image, label and predictions.
        palette: `(C, 3)` uint8 RGB.
        rare: `(C,)` bool.
        side: Pixels of the longer side of a picture, at most.
    """
    small = row.smaller(side)
    what = "where they differ" if len(small.predictions) > 1 else "where it is wrong"
    differences = difference_map(small.image, small.labels, list(small.predictions.values()), len(palette))
    shown = {"image": _jpeg_bytes(_outlined(small.image, small.labels, rare, BLACK, WHITE))}
    for name, ids in {"label": small.labels, **small.predictions}.items():
        shown[name] = _map_png(ids, palette, rare)
    shown[what] = _jpeg_bytes(differences)
    return [Picture(content, f"{row.name}: {name}", name) for name, content in shown.items()]


def difference_map(
    image: np.ndarray, labels: np.ndarray, predictions: Sequence[np.ndarray], classes: int
) -> np.ndarray:
    """The image in pale grey, in colour where the first and the last prediction differ.

    Blue: only the last one is right. Orange: only the first one is. Dark grey: they differ, both wrong.
    With one prediction, orange is where it is wrong. Pixels of no class stay grey.

    Args:
        image: `(height, width, 3)` uint8.
        labels: `(height, width)` class ids.
        predictions: One or more `(height, width)` class ids.
        classes: Number of classes C.

    Returns:
        `(height, width, 3)` uint8.
    """
    shown = faded(image)
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
    """The meaning of the colours of `difference_map`."""
    if len(models) == 1:
        return [(f"{models[0]} is wrong", WORSE)]
    first, last = models[0], models[-1]
    return [
        (f"only {last} is right", BETTER),
        (f"only {first} is right", WORSE),
        ("they differ, both wrong", BOTH_WRONG),
    ]


def coloured(ids: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """`(height, width, 3)` uint8, the colour of each class, white where an id is no class."""
    known = (ids >= 0) & (ids < len(palette))
    return np.where(known[..., None], palette[np.where(known, ids, 0)], np.uint8(NO_CLASS)).astype(np.uint8)


def faded(image: np.ndarray, brightness: float = FADED[0], contrast: float = FADED[1]) -> np.ndarray:
    """The image in pale grey, `(height, width, 3)` uint8."""
    grey = brightness + contrast * image.mean(axis=2, keepdims=True)
    return np.repeat(grey, 3, axis=2).astype(np.uint8)


def fit(array: np.ndarray, width: int, height: int, *, enlarge: bool = True) -> np.ndarray:
    """An image or a map of ids, resized to fit into a box; maps are returned as int32, no ids are mixed."""
    scale = min(width / array.shape[1], height / array.shape[0])
    scale = scale if enlarge else min(1.0, scale)
    rows, columns = (max(1, round(scale * size)) for size in array.shape[:2])
    if array.ndim == 2:
        return cv2.resize(array.astype(np.int32), (columns, rows), interpolation=cv2.INTER_NEAREST)
    method = cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA
    return cv2.resize(array, (columns, rows), interpolation=method)


def png_bytes(picture: Image.Image, **options: bool) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _jpeg_bytes(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _map_png(ids: np.ndarray, palette: np.ndarray, rare: np.ndarray) -> bytes:
    """A map in colour with outlined rare classes; a palette PNG, the smallest, if it holds them."""
    classes = len(palette)
    if classes + 2 > PALETTE_SIZE:
        outlined = _outlined(coloured(ids, palette), ids, rare, BLACK, WHITE)
        return png_bytes(Image.fromarray(outlined), optimize=True)
    known = np.where((ids >= 0) & (ids < classes), ids, classes)
    outlined = _outlined(known, ids, rare, classes + 1, classes)
    return palette_png(outlined, np.concatenate([palette, [WHITE, BLACK]]), optimize=True)


def _outlined(
    picture: np.ndarray, ids: np.ndarray, rare: np.ndarray, dark: int | tuple, light: int | tuple
) -> np.ndarray:
    """Draw a line around the pixels of rare classes, white with a black edge: visible on any background."""
    known = (ids >= 0) & (ids < len(rare))
    inside = (known & rare[np.where(known, ids, 0)]).astype(np.uint8)
    white = cv2.dilate(inside, np.ones((3, 3), np.uint8)) - inside  # on thin objects it would hide them
    black = cv2.dilate(inside, np.ones((5, 5), np.uint8)) - inside - white
    shown = picture.copy()
    shown[black > 0] = dark
    shown[white > 0] = light
    return shown
