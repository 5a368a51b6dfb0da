"""Draw class colours with outlines over a view, and the legend with the share of every class."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from usrn_keras.data import Dataset
from usrn_keras.report.figure import font

OPACITY = 0.6
STRIPE = 6  # pixels from one line of the hatching to the next
HATCHED = (235, 235, 235), (95, 95, 95)  # colours of the lines and of the gaps


def overlay(image: np.ndarray, labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Blend the class colours with an image; pixels without a class are hatched.

    Args:
        image: RGB image, uint8 of shape `(height, width, 3)`.
        labels: Class ids, integers of shape `(height, width)`.
        palette: Class colours, uint8 of shape `(classes, 3)`.

    Returns:
        RGB image, uint8 of shape `(height, width, 3)`.
    """
    ignored = (labels < 0) | (labels >= len(palette))
    colours = palette[np.where(ignored, 0, labels)]
    mixed = (1 - OPACITY) * image + OPACITY * colours
    hatched = 0.35 * image + 0.65 * hatching(*labels.shape)
    mixed = np.where(ignored[..., None], hatched, mixed).round().astype(np.uint8)
    mixed[_borders(labels)] = 255
    return mixed


def hatching(height: int, width: int) -> np.ndarray:
    """Draw diagonal stripes, uint8 of shape `(height, width, 3)`."""
    rows, columns = np.ogrid[:height, :width]
    line = (rows + columns) % STRIPE < STRIPE // 3
    return np.where(line[..., None], *np.array(HATCHED, np.uint8))


def resized(values: np.ndarray, side: int) -> np.ndarray:
    """Resize an image or a label map to a square of `side` pixels; label maps use the nearest pixel."""
    if values.ndim == 2:
        return cv2.resize(values, (side, side), interpolation=cv2.INTER_NEAREST_EXACT)
    shrinks = side < values.shape[0]
    return cv2.resize(values, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def _borders(labels: np.ndarray) -> np.ndarray:
    """Find pixels whose right or lower neighbour belongs to another class."""
    borders = np.zeros(labels.shape, bool)
    borders[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    borders[:-1] |= labels[1:] != labels[:-1]
    return borders


LINE = 26  # height of an entry
SWATCH = 18
SPACE = 8  # between swatch, name and share
COLUMN_GAP = 36
MAX_ENTRIES = 60  # the number of further classes is shown
NOT_LEARNED = "ignored or padding"
FONT, BOLD = font(12), font(12, bold=True)
INK, FAINT = (25, 25, 30), (150, 150, 155)


class Legend:
    """Legend of the classes from the most frequent to the rarest, followed by the ignored pixels.

    Args:
        dataset: Data set with class names and colours.
        maps: Label maps of the shown views, integers of shape `(height, width)`.
    """

    def __init__(self, dataset: Dataset, maps: Sequence[np.ndarray]):
        labels = np.concatenate([labels.ravel() for labels in maps])
        ignored = labels == dataset.ignore_index
        shares = np.bincount(labels[~ignored], minlength=dataset.num_classes) / labels.size
        order = np.argsort(-shares, kind="stable")[:MAX_ENTRIES]
        self.entries = [
            (dataset.classes[i], float(shares[i]), np.broadcast_to(dataset.palette[i], (SWATCH, SWATCH, 3)))
            for i in order
        ]
        self.entries.append((NOT_LEARNED, float(ignored.mean()), hatching(SWATCH, SWATCH)))
        self.hidden = dataset.num_classes - len(order)
        widest = max(FONT.getlength(name) for name, _, _ in self.entries)
        self._share_right = SWATCH + 2 * SPACE + int(widest + FONT.getlength("100.0 %"))

    def height(self, width: int) -> int:
        """Return the height in pixels for a given width."""
        return LINE * (self._rows(width) + 1 + bool(self.hidden)) + LINE // 2

    def draw(self, sheet: Image.Image, left: int, top: int, width: int) -> None:
        """Draw the legend column by column."""
        pen = ImageDraw.Draw(sheet)
        pen.text((left, top), "Share of the labelled views shown", fill=INK, font=BOLD)
        rows = self._rows(width)
        for index, entry in enumerate(self.entries):
            column, row = divmod(index, rows)
            x = left + column * (self._share_right + COLUMN_GAP)
            self._entry(sheet, pen, x, top + LINE * (row + 1), *entry)
        if self.hidden:
            text = f"and {self.hidden} classes with smaller shares"
            pen.text((left, top + LINE * (rows + 1)), text, fill=FAINT, font=FONT)

    def _rows(self, width: int) -> int:
        columns = max(1, (width + COLUMN_GAP) // (self._share_right + COLUMN_GAP))
        return -(-len(self.entries) // columns)

    def _entry(self, sheet, pen, x: int, y: int, name: str, share: float, swatch: np.ndarray) -> None:
        sheet.paste(Image.fromarray(np.ascontiguousarray(swatch)), (x, y))
        pen.rectangle((x, y, x + SWATCH - 1, y + SWATCH - 1), outline=FAINT)
        ink = INK if share else FAINT
        pen.text((x + SWATCH + SPACE, y + SWATCH // 2), name, fill=ink, font=FONT, anchor="lm")
        text = f"{100 * share:.1f} %" if share else "none"
        pen.text((x + self._share_right, y + SWATCH // 2), text, fill=ink, font=FONT, anchor="rm")
