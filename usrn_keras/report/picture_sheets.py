"""Several images in one PNG file, each beside its label and its predictions, with a legend of the classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from usrn_keras.report.figure import fitting_text, font
from usrn_keras.report.pictures import NO_CLASS, PredictedImage, coloured, difference_map, fit, png_bytes

CELL = 360  # box in pixels that an image is resized to fit into
MOST_WIDTH = 2400  # pixels of a comparison, in which cells are larger where images are
GAP = 6
MARGIN = 14
SMALLEST_TEXT = 14  # pixels; in a wider sheet letters are larger, since it is shown smaller
INK, PALE = (30, 30, 30), (110, 110, 110)


@dataclass(frozen=True)
class _Layout:
    """Columns of a sheet, and the box in pixels of each cell."""

    columns: Sequence[str]
    cell: int

    @property
    def width(self) -> int:
        return 2 * MARGIN + len(self.columns) * (self.cell + GAP) - GAP

    @property
    def text(self) -> int:
        """Size of letters."""
        return max(SMALLEST_TEXT, self.width // 100)

    @property
    def line(self) -> int:
        """Height of a line of text."""
        return round(1.45 * self.text)

    def left(self, column: int) -> int:
        return MARGIN + column * (self.cell + GAP)

    def band(self, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        band = Image.new("RGB", (self.width, height), "white")
        return band, ImageDraw.Draw(band)


def comparison_png(rows: Sequence[PredictedImage], classes: Sequence[str], palette: np.ndarray) -> bytes:
    """A PNG file with a row for each image, headed by its name and scores: image, label, and all predictions.

    The sheet is at most `MOST_WIDTH` pixels wide: large images are made smaller, letters are not.

    Args:
        rows: One or more images with predictions of the same models.
        classes: C names, for the legend.
        palette: `(C, 3)` uint8 RGB; ids that are no class are white.
    """
    columns = ["image", "label", *rows[0].predictions]
    largest = (MOST_WIDTH - 2 * MARGIN + GAP) // len(columns) - GAP
    cell = min(max(CELL, *(max(row.image.shape[:2]) for row in rows)), largest)
    layout = _Layout(columns, cell)
    bands = []
    for row in rows:
        maps = (row.labels, *row.predictions.values())
        image, *ids = (fit(array, cell, cell) for array in (row.image, *maps))
        bands.append(_row(layout, row.heading(), [image, *(coloured(one, palette) for one in ids)]))
    return _sheet(layout, "", bands, _ids_of(rows), classes, palette)


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
    layout = _Layout(("image", "label", "prediction", "wrong pixels"), CELL)
    bands = [_row(layout, _errors(row, palette), cells_of(row, palette)) for row in rows]
    return _sheet(layout, title, bands, _ids_of(rows), classes, palette)


def rows_png(
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[np.ndarray]]],
    classes: Sequence[str],
    palette: np.ndarray,
    *,
    shown: Collection[int] = (),
    title: str = "",
) -> bytes:
    """A PNG file with a heading and pictures in each row, and below the colours of the classes.

    Args:
        columns: Names of the columns.
        rows: Heading and pictures `(height, width, 3)` uint8 of each row, one for each column.
        classes: C names.
        palette: `(C, 3)` uint8 RGB.
        shown: Ids of the classes that the pictures show.
        title: Lines above the columns.
    """
    layout = _Layout(columns, CELL)
    bands = [_row(layout, heading, [fit(cell, CELL, CELL) for cell in cells]) for heading, cells in rows]
    return _sheet(layout, title, bands, set(shown), classes, palette)


def cells_of(row: PredictedImage, palette: np.ndarray) -> list[np.ndarray]:
    """Image, label, prediction and wrong pixels, each `(height, width, 3)` uint8 in the size of a cell.

    Pixels of no class are white in the maps, and never wrong. Maps are resized before they are
    coloured, so that no pixel gets a colour between those of two classes.
    """
    maps = (row.labels, *row.predictions.values())
    image, labels, ids = (fit(array, CELL, CELL) for array in (row.image, *maps))
    wrong = difference_map(image, labels, [ids], len(palette))
    return [image, coloured(labels, palette), coloured(ids, palette), wrong]


def _ids_of(rows: Sequence[PredictedImage]) -> set[int]:
    maps = [ids for row in rows for ids in (row.labels, *row.predictions.values())]
    return {i for ids in maps for i in np.unique(ids).tolist()}


def _errors(row: PredictedImage, palette: np.ndarray) -> str:
    (ids,), (miou,) = row.predictions.values(), row.mious
    labelled = (row.labels >= 0) & (row.labels < len(palette))
    wrong = np.count_nonzero((row.labels != ids) & labelled) / max(1, np.count_nonzero(labelled))
    return f"{row.name}    mIoU {100 * miou:.1f} %    wrong {100 * wrong:.1f} %"


def _sheet(
    layout: _Layout,
    title: str,
    rows: Sequence[Image.Image],
    found: set[int],
    classes: Sequence[str],
    palette: np.ndarray,
) -> bytes:
    bands = [_title(layout, title), *rows, _legend(layout, found, classes, palette)]
    sheet = Image.new("RGB", (layout.width, sum(band.height for band in bands) + MARGIN), "white")
    top = 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return png_bytes(sheet)


def _title(layout: _Layout, title: str) -> Image.Image:
    lines = title.splitlines()
    band, pen = layout.band(MARGIN + MARGIN * bool(lines) + (len(lines) + 1) * layout.line)
    for i, line in enumerate(lines):
        size, colour = (layout.text, PALE) if i else (round(1.2 * layout.text), INK)
        pen.text((MARGIN, MARGIN + i * layout.line), line, fill=colour, font=font(size))
    for i, name in enumerate(layout.columns):
        at = layout.left(i), band.height - layout.line
        pen.text(at, fitting_text(name, layout.text, layout.cell), fill=PALE, font=font(layout.text))
    return band


def _row(layout: _Layout, heading: str, cells: Sequence[np.ndarray]) -> Image.Image:
    band, pen = layout.band(max(cell.shape[0] for cell in cells) + layout.line + GAP + MARGIN)
    text = fitting_text(heading, layout.text, layout.width - 2 * MARGIN)
    pen.text((MARGIN, GAP), text, fill=INK, font=font(layout.text))
    for i, cell in enumerate(cells):
        left = layout.left(i) + (layout.cell - cell.shape[1]) // 2
        band.paste(Image.fromarray(cell), (left, layout.line + GAP))
    return band


def _legend(layout: _Layout, found: set[int], classes: Sequence[str], palette: np.ndarray) -> Image.Image:
    """The colours of the classes that occur, in lines as wide as the sheet."""
    entries = [(name, tuple(palette[i].tolist())) for i, name in enumerate(classes) if i in found]
    entries += [("no class", NO_CLASS)] if found - set(range(len(classes))) else []
    places, left, line, side = [], MARGIN, 0, layout.text
    for name, _ in entries:
        width = int(font(layout.text).getlength(name)) + 2 * side + GAP
        if left > MARGIN and left + width > layout.width - MARGIN:
            left, line = MARGIN, line + 1
        places.append((left, MARGIN + line * (layout.line + GAP)))
        left += width
    band, pen = layout.band(2 * MARGIN + (line + 1) * (layout.line + GAP))
    for (name, colour), (left, top) in zip(entries, places, strict=True):
        pen.rectangle((left, top, left + side, top + side), fill=colour, outline=INK)
        pen.text((left + side + GAP, top - 2), name, fill=INK, font=font(layout.text))
    return band
