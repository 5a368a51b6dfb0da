"""Which values the masks hold, how many pixels of each, and their kind: ids, palette indices or colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.mask_files import RawMask
from usrn_keras.data.mask_values import pack, rgb_text, unpack, voc_palette
from usrn_keras.errors import DataError

KEPT_VALUES = 4096  # of one mask; with more it is no mask, and the rest need not be known


@dataclass(frozen=True, eq=False)
class ValueCounts:
    """The values of one mask.

    Args:
        mode: How the file stores them, as in `RawMask`.
        size: Height and width.
        values: `(n,)` int64 in rising order: ids, or colours as `RED * 65536 + GREEN * 256 + BLUE`.
        pixels: `(n,)` int64, pixels of each value.
        runs: `(n,)` int64, horizontal runs that these make.
        colours: `(n,)` int64, the colours of palette indices; None where there is no palette.
        coloured: Whether the values are colours.
    """

    mode: str
    size: tuple[int, int]
    values: np.ndarray
    pixels: np.ndarray
    runs: np.ndarray
    colours: np.ndarray | None = None
    coloured: bool = False

    def as_colours(self) -> ValueCounts:
        """The same with palette indices replaced by their colours."""
        if self.coloured or self.colours is None:
            return self
        values, place = np.unique(self.colours, return_inverse=True)
        pixels, runs = (np.bincount(place, weights=n).astype(np.int64) for n in (self.pixels, self.runs))
        return ValueCounts(self.mode, self.size, values, pixels, runs, coloured=True)


@dataclass(frozen=True, eq=False)
class ValueTable:
    """The values of all masks together.

    Args:
        values: `(n,)` int64 in rising order.
        pixels: `(masks, n)` int64, pixels of each value in each mask.
        runs: `(n,)` int64, horizontal runs over all masks.
    """

    values: np.ndarray
    pixels: np.ndarray
    runs: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """(n,) pixels of each value over all masks."""
        return self.pixels.sum(axis=0)

    @property
    def run_length(self) -> np.ndarray:
        """(n,) mean length in pixels of a horizontal run."""
        return self.total / np.maximum(1, self.runs)


def count_values(raw: RawMask) -> ValueCounts:
    """Count the values of a decoded mask by their runs, which are far fewer than its pixels.

    Example:

    >>> counted = count_values(RawMask(np.array([[0, 0, 7], [7, 7, 7]], np.uint8), None, "L"))
    >>> counted.values.tolist(), counted.pixels.tolist(), counted.runs.tolist()
    ([0, 7], [2, 4], [1, 2])
    """
    coloured = raw.values.ndim == 3
    values = pack(raw.values) if coloured else raw.values
    starts = np.ones(values.shape, bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    places = np.flatnonzero(starts)
    lengths = np.diff(places, append=values.size)
    found, which = np.unique(values.ravel()[places], return_inverse=True)
    pixels = np.bincount(which, weights=lengths).astype(np.int64)
    kept = np.sort(np.argsort(-pixels, kind="stable")[:KEPT_VALUES])
    found = found.astype(np.int64)[kept]
    palette = None
    if raw.palette is not None:
        colours = np.zeros((int(found.max()) + 1, 3), np.uint8)
        colours[: len(raw.palette)] = raw.palette[: len(colours)]
        palette = pack(colours[found]).astype(np.int64)
    runs = np.bincount(which)[kept]
    return ValueCounts(raw.mode, values.shape, found, pixels[kept], runs, palette, coloured)


def join(masks: Mapping[str, ValueCounts]) -> ValueTable:
    """The values of all masks, one row of pixels for each mask in the order given."""
    values = np.unique(np.concatenate([mask.values for mask in masks.values()]))
    pixels = np.zeros((len(masks), len(values)), np.int64)
    runs = np.zeros(len(values), np.int64)
    for row, mask in enumerate(masks.values()):
        places = np.searchsorted(values, mask.values)
        pixels[row, places] = mask.pixels
        runs[places] += mask.runs
    return ValueTable(values, pixels, runs)


def shown(value: int, coloured: bool) -> str:
    """A mask value for people: `7`, or `128 64 128`."""
    return rgb_text(value) if coloured else str(value)


MAX_COLOURS = 256
MAX_IDS = 1024
FULLEST = 8  # masks
SPECK = 2.0  # pixels; areas of a class run further, blends at a border do not


@dataclass(frozen=True, eq=False)
class MaskKind:
    """What the masks hold, before the values have names.

    Args:
        name: In words, such as `RGB colours`.
        coloured: Whether values are colours rather than ids.
        table: The values.
        palette: `(values, 3)` uint8, colour by value where the files have useful ones.
        assumptions: What was taken for granted.
    """

    name: str
    coloured: bool
    table: ValueTable
    palette: np.ndarray | None
    assumptions: tuple[str, ...] = ()


def find_kind(masks: Mapping[str, ValueCounts], *, prefer_colours: bool = False) -> MaskKind:
    """The kind of all masks together.

    Args:
        masks: Of all images, by name.
        prefer_colours: Whether palette files count by their colours rather than by their indices.

    Raises:
        DataError: Colours and grey values are mixed, or the values are those of no mask.
    """
    # Of photographs in place of masks, a few say what is wrong; a table of all would fill the memory.
    fullest = sorted(masks, key=lambda name: -len(masks[name].values))[:FULLEST]
    _refuse_blends(
        _kind({name: masks[name] for name in fullest}, prefer_colours), masks[fullest[0]], fullest[0]
    )
    _refuse_too_many(masks)
    kind = _kind(masks, prefer_colours)
    _refuse_blends(kind, masks[fullest[0]], fullest[0])
    return kind


def _kind(masks: Mapping[str, ValueCounts], prefer_colours: bool) -> MaskKind:
    coloured = {name for name, mask in masks.items() if mask.coloured}
    indexed = {name for name, mask in masks.items() if mask.colours is not None}
    plain = [name for name in masks if name not in coloured and name not in indexed]
    if plain and (coloured or (prefer_colours and not indexed)):
        kinds = "both colours and grey values" if coloured else "grey values, --names gives colours"
        faults = [f"{name}: {masks[name].mode}" for name in [*sorted(coloured)[:3], *plain[:3]]]
        raise DataError(f"the masks hold {kinds}", faults=faults, hint="Make all masks of one kind.")
    odd = _different_palettes(masks)
    if coloured or (indexed and not plain and (odd or prefer_colours)):
        note = (f"the palettes of {odd[0]} and {odd[1]} differ: colours count, not indices",) if odd else ()
        table = join({name: mask.as_colours() for name, mask in masks.items()})
        kind = "RGB colours" if coloured else "palette colours"
        return MaskKind(kind, True, table, unpack(table.values), note)
    table = join(masks)
    wide = any(mask.mode.startswith("I") for mask in masks.values())
    kind = "16-bit ids" if wide else "palette indices" if indexed else "grey ids"
    if table.values.tolist() == [0, 255]:
        kind = "binary, 0 and 255"
    return MaskKind(kind, False, table, None if odd else _common_palette(masks))


def _different_palettes(masks: Mapping[str, ValueCounts]) -> tuple[str, str] | None:
    """Two masks in whose palettes an index has different colours."""
    first: dict[int, tuple[int, str]] = {}
    for name, mask in masks.items():
        if mask.colours is not None:
            for index, colour in zip(mask.values.tolist(), mask.colours.tolist(), strict=True):
                before, other = first.setdefault(index, (colour, name))
                if before != colour:
                    return other, name
    return None


def _common_palette(masks: Mapping[str, ValueCounts]) -> np.ndarray | None:
    """Colour by index over all masks, or None where they are grey or two are alike."""
    colours: dict[int, int] = {}
    for mask in masks.values():
        if mask.colours is not None:
            colours.update(zip(mask.values.tolist(), mask.colours.tolist(), strict=True))
    table = unpack(np.array(list(colours.values()), np.int64))
    grey = (table == table[:, :1]).all(axis=1)
    if not colours or grey.sum() > len(table) / 2 or len(set(colours.values())) < len(colours):
        return None
    palette = voc_palette(max(colours) + 1)
    palette[list(colours)] = table
    return palette


def _refuse_blends(kind: MaskKind, fullest: ValueCounts, name: str) -> None:
    """Refuse masks whose values are mostly blends: smooth resizing, JPEG, or photographs."""
    table, what = kind.table, "colours" if kind.coloured else "values"
    specks = table.run_length < SPECK
    if not 2 * specks.sum() > len(specks) > 2:
        return
    areas = table.values[~specks][np.argsort(-table.total[~specks])].tolist()
    listed = ", ".join(shown(value, kind.coloured) for value in areas[:8])
    raise DataError(
        f"the masks hold {len(specks):,} {what} or more, {specks.sum():,} of them only in specks of about a "
        "pixel: blends, as smooth resizing (anti-aliasing), JPEG or a photograph leave them",
        faults=[f"{name} alone holds {len(fullest.values):,} {what}"],
        hint="Write the masks anew as PNG, resized with nearest neighbour, never from a JPEG."
        + (f" Those that fill areas: {listed}." if areas else ""),
    )


def _refuse_too_many(masks: Mapping[str, ValueCounts]) -> None:
    coloured = any(mask.coloured for mask in masks.values())
    found = len(np.unique(np.concatenate([mask.values for mask in masks.values()])))
    limit = MAX_COLOURS if coloured else MAX_IDS
    if found > limit:
        raise DataError(
            f"the masks hold {found:,} {'colours' if coloured else 'values'}, at most {limit} can be classes",
            hint="Masks of instances or depth give each object or distance a value: a mask for training "
            "gives every pixel the id or colour of its class.",
        )
