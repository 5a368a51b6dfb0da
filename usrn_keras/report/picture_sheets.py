"""The images that went worst: image, label and prediction side by side, and where they differ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL_WIDTH, CELL_HEIGHT = 360, 360  # an image is made to fit into these pixels
GAP = 6
MARGIN = 14
TITLE_SIZE, TEXT_SIZE = 17, 14
LINE = 20  # height of a line of text
COLUMNS = ("image", "label", "prediction", "wrong pixels")
INK, PALE = (30, 30, 30), (110, 110, 110)
NO_CLASS = (255, 255, 255)  # black is the background of many data sets
WRONG = (235, 40, 20)
FADED = 120, 0.5  # brightness and contrast of pixels that are not wrong


@dataclass(frozen=True, eq=False)
class WorstImage:
    """An image of the gallery.

    Args:
        name: Of the sample.
        miou: mIoU of this image alone, over the classes in its label, 0..1.
        image: `(height, width, 3)` uint8 RGB.
        labels: `(height, width)` class ids; what is no class was not measured.
        predictions: `(height, width)` class ids.
    """

    name: str
    miou: float
    image: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray


def worst_png(
    rows: Sequence[WorstImage], classes: Sequence[str], palette: np.ndarray, *, title: str = ""
) -> bytes:
    """A PNG file with a row for each image, and below the colours of the classes that occur in them.

    Args:
        rows: What to show, in this order; at least one.
        classes: C names.
        palette: `(C, 3)` uint8 RGB.
        title: Stands above.
    """
    bands = [_title(title), *(_row(row, palette) for row in rows), _legend(rows, classes, palette)]
    sheet = Image.new("RGB", (_width(), sum(band.height for band in bands) + MARGIN), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def cells_of(row: WorstImage, palette: np.ndarray) -> list[np.ndarray]:
    """Image, label, prediction and wrong pixels, each `(height, width, 3)` uint8 and small enough to show.

    Pixels of no class are white in the maps, and never wrong. Maps are resized before they are
    coloured, so that no pixel gets a colour between those of two classes.
    """
    image, labels, predictions = map(_fit, (row.image, row.labels, row.predictions))
    wrong = (labels < len(palette)) & (labels != predictions)
    brightness, contrast = FADED
    grey = np.repeat(brightness + contrast * image.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    colours = np.full((2**16, 3), NO_CLASS, np.uint8)
    colours[: len(palette)] = palette
    return [image, colours[labels], colours[predictions], np.where(wrong[..., None], np.uint8(WRONG), grey)]


def _fit(array: np.ndarray) -> np.ndarray:
    """An image or a map at the size of its cell; maps come back as uint16."""
    height, width = array.shape[:2]
    scale = min(CELL_WIDTH / width, CELL_HEIGHT / height)
    size = max(1, round(scale * width)), max(1, round(scale * height))
    if array.ndim == 2:
        return cv2.resize(array.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST)
    return cv2.resize(array, size, interpolation=cv2.INTER_LINEAR if scale > 1 else cv2.INTER_AREA)


def _width() -> int:
    return 2 * MARGIN + len(COLUMNS) * (CELL_WIDTH + GAP) - GAP


def _band(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    band = Image.new("RGB", (_width(), height), "white")
    return band, ImageDraw.Draw(band)


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


def _title(title: str) -> Image.Image:
    lines = title.splitlines()
    band, pen = _band(2 * MARGIN + (len(lines) + 1) * LINE)
    for i, line in enumerate(lines):
        size, colour = (TEXT_SIZE, PALE) if i else (TITLE_SIZE, INK)
        pen.text((MARGIN, MARGIN + i * (LINE + 2)), line, fill=colour, font=_font(size))
    for i, name in enumerate(COLUMNS):
        left = MARGIN + i * (CELL_WIDTH + GAP)
        pen.text((left, band.height - LINE), name, fill=PALE, font=_font(TEXT_SIZE))
    return band


def _row(row: WorstImage, palette: np.ndarray) -> Image.Image:
    cells = cells_of(row, palette)
    band, pen = _band(cells[0].shape[0] + LINE + GAP + MARGIN)
    labelled = (row.labels >= 0) & (row.labels < len(palette))
    wrong = np.count_nonzero((row.labels != row.predictions) & labelled) / max(1, np.count_nonzero(labelled))
    text = f"{row.name}    mIoU {100 * row.miou:.1f} %    wrong {100 * wrong:.1f} %"
    pen.text((MARGIN, GAP), text, fill=INK, font=_font(TEXT_SIZE))
    for i, cell in enumerate(cells):
        left = MARGIN + i * (CELL_WIDTH + GAP) + (CELL_WIDTH - cell.shape[1]) // 2
        band.paste(Image.fromarray(np.ascontiguousarray(cell)), (left, LINE + GAP))
    return band


def _legend(rows: Sequence[WorstImage], classes: Sequence[str], palette: np.ndarray) -> Image.Image:
    """The colours of the classes that occur, in lines as wide as the sheet."""
    maps = [ids for row in rows for ids in (row.labels, row.predictions)]
    found = {i for ids in maps for i in np.unique(ids).tolist()}
    entries = [(name, tuple(palette[i].tolist())) for i, name in enumerate(classes) if i in found]
    entries += [("no class", NO_CLASS)] if found - set(range(len(classes))) else []
    places, left, line = [], MARGIN, 0
    for name, _ in entries:
        width = int(_font(TEXT_SIZE).getlength(name)) + 3 * LINE
        if left > MARGIN and left + width > _width() - MARGIN:
            left, line = MARGIN, line + 1
        places.append((left, MARGIN + line * (LINE + GAP)))
        left += width
    band, pen = _band(2 * MARGIN + (line + 1) * (LINE + GAP))
    for (name, colour), (left, top) in zip(entries, places, strict=True):
        pen.rectangle((left, top, left + LINE, top + LINE - 4), fill=colour, outline=INK)
        pen.text((left + LINE + GAP, top - 1), name, fill=INK, font=_font(TEXT_SIZE))
    return band
