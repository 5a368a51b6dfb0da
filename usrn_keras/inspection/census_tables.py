"""Tables of the classes and splits of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from usrn_keras.data.dataset import PARTS
from usrn_keras.inspection.dataset_inspection import WITH_MASKS, Inspection
from usrn_keras.report.comparison import RARE

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text


class ClassTable:
    """Table with one row per class, from the most frequent to the rarest in the labelled masks."""

    def __init__(self, inspection: Inspection):
        self.inspection = inspection
        self.census = {split: inspection.census(split) for split in WITH_MASKS}
        self.shown = [split for split in WITH_MASKS if self.census[split].masks]

    def rows(self) -> list[list[str]]:
        """Return id, name and colour, then pixels, share in percent and number of images for each split."""
        dataset, rare = self.inspection.dataset, self.inspection.rare
        order = np.argsort(-self.census["labelled"].pixels, kind="stable").tolist()
        rows = [
            [
                str(i),
                dataset.classes[i] + (f" {RARE}" if rare[i] else ""),
                _hex(dataset.palette[i]),
                *self._counts(i),
            ]
            for i in order
        ]
        ignored = [_short(self.census[split].ignored) for split in self.shown]
        return [*rows, ["", "ignored", "", *(cell for pixels in ignored for cell in (pixels, "", ""))]]

    def _counts(self, i: int) -> list[str]:
        cells = []
        for split in self.shown:
            census = self.census[split]
            share = f"{100 * census.share[i]:.2f}" if census.pixels[i] else "absent"
            cells += [_short(int(census.pixels[i])), share, f"{census.images_with[i]}/{census.masks}"]
        return cells

    def notes(self) -> list[str]:
        """Return the notes below the table."""
        notes = [
            "px: pixels of the class; %: share of pixels with a class; images: masks that show it, of all "
            "masks."
        ]
        if self.inspection.rare.any():
            notes.append(f"{RARE} rare: fewer labelled pixels than the median class.")
        if any(reading.split == "unlabelled" for reading in self.inspection.readings):
            notes.append("Masks of unlabelled images are not read, as in training.")
        return notes

    def rich(self) -> Group:
        """Format the table for a terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table()
        table.add_column("id", justify="right")
        table.add_column("class")
        table.add_column("colour")
        for split in self.shown:
            for name in (f"{split} px", "%", "images"):
                table.add_column(name, justify="right")
        *rows, ignored = self.rows()
        for i, name, colour, *counts in rows:
            table.add_row(i, Text(name), _swatch(colour), *counts)
        table.add_section()
        table.add_row(*ignored)
        return Group(table, *map(Text, self.notes()))


class SplitTable:
    """Table with one row per split: number and sizes of its images."""

    def __init__(self, inspection: Inspection):
        self.inspection = inspection

    def rows(self) -> list[list[str]]:
        """Return split, images, masks read, and the sizes of the smallest, median and largest image."""
        rows = []
        for split in PARTS:
            census = self.inspection.census(split)
            sizes = [f"{width}x{height}" for height, width in census.size_range()] or ["-"] * 3
            rows.append([split, str(census.images), str(census.masks), *sizes])
        return rows

    def rich(self) -> Group:
        """Format the table for a terminal."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table()
        for name in ("split", "images", "masks read", "smallest", "median", "largest"):
            table.add_column(name, justify="left" if name == "split" else "right")
        for row in self.rows():
            table.add_row(*row)
        fingerprint = self.inspection.fingerprint or "none, because they contain errors"
        return Group(table, Text(f"Fingerprint of the lists: {fingerprint}"))


def _short(pixels: int) -> str:
    """Format a count with three digits, such as 12.3M."""
    for unit, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if pixels >= unit:
            return f"{pixels / unit:#.3g}".rstrip(".") + name
    return str(pixels)


def _hex(colour: np.ndarray) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _swatch(colour: str) -> Text:
    """Show the hex code of a colour on a background of that colour."""
    from rich.text import Text

    light = sum(bytes.fromhex(colour[1:])) > 3 * 127
    return Text(f" {colour} ", f"{'black' if light else 'white'} on {colour}")
