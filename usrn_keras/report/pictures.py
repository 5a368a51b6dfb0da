"""Pictures of a segmentation: its class ids as a palette PNG, its colours over the image."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from usrn_keras.errors import DataError

OVERLAY_OPACITY = 0.5
GAP = 4  # pixels between the pictures of a comparison
TITLE_HEIGHT = 20  # pixels above them
PALETTE_SIZE = 256  # entries of a palette PNG


def palette_png(labels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file whose values are class ids and whose palette are the classes' colours.

    Args:
        labels: (height, width) integers, class ids.
        palette: (C, 3) uint8 RGB, C at most 256.

    Raises:
        DataError: A palette PNG has no room for that many classes.
    """
    if len(palette) > PALETTE_SIZE:
        raise DataError(f"a palette PNG holds at most {PALETTE_SIZE} classes, the run has {len(palette)}")
    picture = Image.fromarray(labels.astype(np.uint8))
    picture.putpalette(palette.astype(np.uint8).tobytes())
    return _png(picture)


def overlay_png(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> bytes:
    """A PNG file of the image, (height, width, 3) uint8, half covered by its classes' colours."""
    mixed = (1 - OVERLAY_OPACITY) * image + OVERLAY_OPACITY * palette[labels]
    return _png(Image.fromarray(mixed.round().astype(np.uint8)))


def comparison_png(
    rows: Sequence[tuple[np.ndarray, Sequence[np.ndarray]]], palette: np.ndarray, titles: Sequence[str]
) -> bytes:
    """A PNG file of images beside maps of class ids in their classes' colours, a title over each column.

    Args:
        rows: An image (height, width, 3) uint8 and its maps (height, width); ids that are no class
            are black. All rows have as many maps.
        palette: (C, 3) uint8 RGB.
        titles: Of the image and of each map.
    """
    colours = np.zeros((65536, 3), np.uint8)
    colours[: len(palette)] = palette
    cells = [[image, *(colours[labels] for labels in maps)] for image, maps in rows]
    width = max(cell.shape[1] for row in cells for cell in row) + GAP
    heights = [row[0].shape[0] + GAP for row in cells]
    sheet = Image.new("RGB", (width * len(titles) + GAP, TITLE_HEIGHT + sum(heights)), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((GAP + column * width, GAP), title, fill="black")
    top = TITLE_HEIGHT
    for row, height in zip(cells, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(Image.fromarray(cell), (GAP + column * width, top))
        top += height
    return _png(sheet)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
