"""Several images in one PNG file, each beside its label and its predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from usrn_keras.report.pictures import NO_CLASS, PredictedImage, coloured, difference_map, fit, png_bytes

CELL_WIDTH, CELL_HEIGHT = 360, 360  # box in pixels that an image of the gallery is resized to fit into
GAP = 6
MARGIN = 14
TITLE_HEIGHT = 20  # pixels above the columns of a comparison
TITLE_SIZE, TEXT_SIZE = 17, 14
LINE = 20  # height of a line of text
COLUMNS = ("image", "label", "prediction", "wrong pixels")
INK, PALE = (30, 30, 30), (110, 110, 110)


def comparison_png(rows: Sequence[PredictedImage], palette: np.ndarray) -> bytes:
    """A PNG file with a row for each image in its own size: image, label, and the map of each model.

    Args:
        rows: One or more images with predictions of the same models.
        palette: `(C, 3)` uint8 RGB; ids that are no class are white.
    """
    titles = ["image", "label", *rows[0].predictions]
    cells = [
        [row.image, *(coloured(ids, palette) for ids in (row.labels, *row.predictions.values()))]
        for row in rows
    ]
    width = max(row[0].shape[1] for row in cells) + GAP
    heights = [row[0].shape[0] + GAP for row in cells]
    sheet = Image.new("RGB", (width * len(titles) + GAP, TITLE_HEIGHT + sum(heights)), "white")
    pen, top = ImageDraw.Draw(sheet), TITLE_HEIGHT
    for column, title in enumerate(titles):
        pen.text((GAP + column * width, GAP // 2), title, fill="black")
    for row, height in zip(cells, heights, strict=True):
        for column, cell in enumerate(row):
            sheet.paste(Image.fromarray(cell), (GAP + column * width, top))
        top += height
    return png_bytes(sheet)


def worst_png(
    rows: Sequence[PredictedImage], classes: Sequence[str], palette: np.ndarray, *, title: str = ""
) -> bytes:
    """A PNG file with a row for each image, and below the colours of the classes that occur in them.

    Args:
        rows: One or more images in the order to show, each with one prediction and its mIoU.
        classes: C names.
        palette: `(C, 3)` uint8 RGB.
        title: Lines above the columns.
    """
    bands = [_title(title), *(_row(row, palette) for row in rows), _legend(rows, classes, palette)]
    sheet = Image.new("RGB", (_width(), sum(band.height for band in bands) + MARGIN), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return png_bytes(sheet)


def cells_of(row: PredictedImage, palette: np.ndarray) -> list[np.ndarray]:
    """Image, label, prediction and wrong pixels, each `(height, width, 3)` uint8 in the size of a cell.

    Pixels of no class are white in the maps, and never wrong. Maps are resized before they are
    coloured, so that no pixel gets a colour between those of two classes.
    """
    maps = (row.labels, *row.predictions.values())
    image, labels, ids = (fit(array, CELL_WIDTH, CELL_HEIGHT) for array in (row.image, *maps))
    wrong = difference_map(image, labels, [ids], len(palette))
    return [image, coloured(labels, palette), coloured(ids, palette), wrong]


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


def _row(row: PredictedImage, palette: np.ndarray) -> Image.Image:
    cells = cells_of(row, palette)
    band, pen = _band(cells[0].shape[0] + LINE + GAP + MARGIN)
    (ids,), (miou,) = row.predictions.values(), row.mious
    labelled = (row.labels >= 0) & (row.labels < len(palette))
    wrong = np.count_nonzero((row.labels != ids) & labelled) / max(1, np.count_nonzero(labelled))
    text = f"{row.name}    mIoU {100 * miou:.1f} %    wrong {100 * wrong:.1f} %"
    pen.text((MARGIN, GAP), text, fill=INK, font=_font(TEXT_SIZE))
    for i, cell in enumerate(cells):
        left = MARGIN + i * (CELL_WIDTH + GAP) + (CELL_WIDTH - cell.shape[1]) // 2
        band.paste(Image.fromarray(cell), (left, LINE + GAP))
    return band


def _legend(rows: Sequence[PredictedImage], classes: Sequence[str], palette: np.ndarray) -> Image.Image:
    """The colours of the classes that occur, in lines as wide as the sheet."""
    maps = [ids for row in rows for ids in (row.labels, *row.predictions.values())]
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
