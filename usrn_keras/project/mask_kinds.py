"""Count the values of masks, and detect their kind: ids, palette indices or colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from usrn_keras.data.decoding.mask_files import RawMask
from usrn_keras.data.mask_values import pack, rgb_text, unpack, voc_palette
from usrn_keras.errors import DataError
from usrn_keras.project.black_and_white import NEAR, OFFER, near_black_and_white

KEPT_VALUES = 4096  # per mask; with more values the file is not a mask


@dataclass(frozen=True, eq=False)
class ValueCounts:
    """Values of one mask.

    Args:
        mode: Storage mode of the file, as in `RawMask`.
        size: Height and width in pixels.
        values: Ids, or colours as `RED * 65536 + GREEN * 256 + BLUE`, ascending int64 of shape `(n,)`.
        pixels: Number of pixels of each value, int64 of shape `(n,)`.
        runs: Number of horizontal runs of each value, int64 of shape `(n,)`.
        colours: Colours of palette indices, int64 of shape `(n,)`; None without a palette.
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
        """Replace palette indices by their colours."""
        if self.coloured or self.colours is None:
            return self
        values, place = np.unique(self.colours, return_inverse=True)
        pixels, runs = (np.bincount(place, weights=n).astype(np.int64) for n in (self.pixels, self.runs))
        return ValueCounts(self.mode, self.size, values, pixels, runs, coloured=True)


@dataclass(frozen=True, eq=False)
class ValueTable:
    """Values of all masks.

    Args:
        values: Values, ascending int64 of shape `(n,)`.
        pixels: Pixels of each value in each mask, int64 of shape `(masks, n)`.
        runs: Number of horizontal runs over all masks, int64 of shape `(n,)`.
    """

    values: np.ndarray
    pixels: np.ndarray
    runs: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Pixels of each value over all masks, shape `(n,)`."""
        return self.pixels.sum(axis=0)

    @property
    def run_length(self) -> np.ndarray:
        """Mean length of a horizontal run in pixels, shape `(n,)`."""
        return self.total / np.maximum(1, self.runs)


def count_values(raw: RawMask) -> ValueCounts:
    """Count the values of a decoded mask by runs, which are far fewer than pixels.

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
    """Join the values of all masks, with one row of pixels per mask in the given order."""
    values = np.unique(np.concatenate([mask.values for mask in masks.values()]))
    pixels = np.zeros((len(masks), len(values)), np.int64)
    runs = np.zeros(len(values), np.int64)
    for row, mask in enumerate(masks.values()):
        places = np.searchsorted(values, mask.values)
        pixels[row, places] = mask.pixels
        runs[places] += mask.runs
    return ValueTable(values, pixels, runs)


def shown(value: int, coloured: bool) -> str:
    """Format a mask value, such as `7` or `128 64 128`."""
    return rgb_text(value) if coloured else str(value)


MAX_COLOURS = 256
MAX_IDS = 1024
FULLEST = 8  # number of masks checked first
LONGEST_BLEND = 6.0  # pixels; a value between black and white with longer runs is that of a class
SPECK = 2.0  # pixels; class areas have longer runs, blends at borders do not


@dataclass(frozen=True, eq=False)
class MaskKind:
    """Kind and values of the masks, without class names.

    Args:
        name: Description of the kind, such as `RGB colours`.
        coloured: Whether values are colours instead of ids.
        table: Values of all masks.
        palette: Colour of each value, uint8 of shape `(values, 3)`; None without a useful palette.
        assumptions: Assumptions, one sentence each.
    """

    name: str
    coloured: bool
    table: ValueTable
    palette: np.ndarray | None
    assumptions: tuple[str, ...] = ()


def find_kind(masks: Mapping[str, ValueCounts], *, prefer_colours: bool = False) -> MaskKind:
    """Detect the common kind of all masks.

    Args:
        masks: Values of each mask, by name of the image.
        prefer_colours: Whether palette files are read as colours instead of indices.

    Raises:
        DataError: If colours and grey values are mixed, or the values are not those of masks.
    """
    # Photographs given as masks are detected from a few files; a table of all of them would fill the memory.
    fullest = sorted(masks, key=lambda name: -len(masks[name].values))[:FULLEST]
    _check_blends(
        _kind({name: masks[name] for name in fullest}, prefer_colours), masks[fullest[0]], fullest[0]
    )
    _check_number(masks)
    kind = _kind(masks, prefer_colours)
    _check_blends(kind, masks[fullest[0]], fullest[0])
    return kind


def _kind(masks: Mapping[str, ValueCounts], prefer_colours: bool) -> MaskKind:
    coloured = {name for name, mask in masks.items() if mask.coloured}
    indexed = {name for name, mask in masks.items() if mask.colours is not None}
    plain = [name for name in masks if name not in coloured and name not in indexed]
    if plain and (coloured or (prefer_colours and not indexed)):
        kinds = "both colours and grey values" if coloured else "grey values, --names gives colours"
        errors = [f"{name}: {masks[name].mode}" for name in [*sorted(coloured)[:3], *plain[:3]]]
        raise DataError(f"the masks contain {kinds}", errors=errors, hint="Convert all masks to one kind.")
    odd = _different_palettes(masks)
    if coloured or (indexed and not plain and (odd or prefer_colours)):
        note = (
            (f"the palettes of {odd[0]} and {odd[1]} differ, so colours are used instead of indices",)
            if odd
            else ()
        )
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
    """Find two masks whose palettes have different colours for an index."""
    first: dict[int, tuple[int, str]] = {}
    for name, mask in masks.items():
        if mask.colours is not None:
            for index, colour in zip(mask.values.tolist(), mask.colours.tolist(), strict=True):
                before, other = first.setdefault(index, (colour, name))
                if before != colour:
                    return other, name
    return None


def _common_palette(masks: Mapping[str, ValueCounts]) -> np.ndarray | None:
    """Join the palettes of all masks; None if they are grey, or two colours are equal."""
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


def _check_blends(kind: MaskKind, fullest: ValueCounts, name: str) -> None:
    """Raise an error if the values are mostly blends from interpolation, JPEG or photographs."""
    table, what = kind.table, "colours" if kind.coloured else "values"
    specks = table.run_length < SPECK
    if not 2 * specks.sum() > len(specks) > 2:
        return
    grey = _as_grey(table.values, kind.coloured)
    areas = (grey > NEAR) & (grey < 255 - NEAR) & (table.run_length > LONGEST_BLEND)
    if not areas.any() and near_black_and_white(grey, table.total):
        raise DataError(
            f"the masks contain {len(specks):,} {what}, nearly all of them near 0 (black) or 255 (white): "
            "their borders were smoothed, or they were JPEGs",
            errors=[f"{name} alone contains {len(fullest.values):,} {what}"],
            hint=OFFER,
        )
    areas = table.values[~specks][np.argsort(-table.total[~specks])].tolist()
    listed = ", ".join(shown(value, kind.coloured) for value in areas[:8])
    raise DataError(
        f"the masks contain {len(specks):,} {what} or more, {specks.sum():,} of them only in specks of about "
        "one pixel: blends from resizing with interpolation (anti-aliasing), JPEG or photographs",
        errors=[f"{name} alone contains {len(fullest.values):,} {what}"],
        hint="Create the masks again as PNG, resized with nearest neighbour, not from a JPEG."
        + (f" Values that cover areas: {listed}." if areas else ""),
    )


def _as_grey(values: np.ndarray, coloured: bool) -> np.ndarray:
    """Grey values of packed colours; colours that are not grey become 128, which is neither."""
    if not coloured:
        return values
    colours = unpack(values).astype(np.int64)
    return np.where((colours == colours[:, :1]).all(axis=1), colours[:, 0], 128)


def _check_number(masks: Mapping[str, ValueCounts]) -> None:
    coloured = any(mask.coloured for mask in masks.values())
    found = len(np.unique(np.concatenate([mask.values for mask in masks.values()])))
    limit = MAX_COLOURS if coloured else MAX_IDS
    if found > limit:
        raise DataError(
            f"the masks contain {found:,} {'colours' if coloured else 'values'}, at most {limit} are allowed",
            hint="Use masks of classes, where every pixel has the id or colour of its class; these may be "
            "masks of instances or depth.",
        )
