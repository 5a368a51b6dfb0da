"""Map mask values to classes, with names from a text file or generated names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.annotations.class_ids import VOID_NAMES
from usrn_keras.data.annotations.cvat import parse_label_map_line
from usrn_keras.data.file_index import read_lines
from usrn_keras.data.mask_values import pack, unpack, voc_palette
from usrn_keras.errors import DataError
from usrn_keras.project.mask_kinds import MAX_IDS, SPECK, MaskKind, ValueCounts, find_kind, shown

FORMS = (
    "a name, `ID name`, `RED GREEN BLUE name`, `name,RED,GREEN,BLUE` or `name:RED,GREEN,BLUE:parts:actions`"
)


@dataclass(frozen=True)
class Named:
    """A line of a file of class names.

    Args:
        name: Name of the class.
        value: Id or packed colour; None if the line has only a name.
        coloured: Whether `value` is a colour.
    """

    name: str
    value: int | None = None
    coloured: bool = False


def read_names(path: Path, errors: list[str]) -> list[Named]:
    """Read class names, one per line; empty lines and lines that start with `#` are skipped.

    All lines must have the same form: a name, `ID name`, `RED GREEN BLUE name` or `name,RED,GREEN,BLUE`
    (separated by spaces, tabs or commas), or `name:RED,GREEN,BLUE:parts:actions`, as in the labelmap.txt of
    CVAT.

    Args:
        path: Path of the file.
        errors: List to which errors are added.
    """
    try:
        lines = enumerate(read_lines(path), 1)
    except DataError as error:
        errors.append(f"--names {error.message}")
        return []
    numbered = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if len(numbered) > 1 and _is_heading(numbered[0][1], numbered[1][1]):
        del numbered[0]
    names = [_parse(line) for _, line in numbered]
    if not names:
        errors.append(f"--names {path} contains no name")
    for (number, line), named in zip(numbered, names, strict=True):
        if not named.name or (named.coloured and named.value is None):
            errors.append(f"--names {path}, line {number}: {line!r} is not {FORMS}")
    if len({(named.value is None, named.coloured) for named in names}) > 1:
        errors.append(f"--names {path}: all lines must have the same form, {FORMS}")
    for what, found in (("name", [n.name for n in names]), ("value", [n.value for n in names])):
        for twice in sorted({entry for entry in found if entry is not None and found.count(entry) > 1}):
            errors.append(f"--names {path}: the {what} {twice!r} is listed twice")
    return names


def ordered_names(path: Path) -> tuple[str, ...]:
    """Read class names in the order of their ids: that of the lines, or of the ids that they give.

    Args:
        path: Path of a file as for `read_names`.

    Raises:
        DataError: The file cannot be read, or its ids are not 0, 1, 2, ...
    """
    errors: list[str] = []
    found = read_names(path, errors)
    by_id = bool(found) and not any(named.value is None or named.coloured for named in found)
    if not errors and by_id:
        found = sorted(found, key=lambda named: named.value)
        ids = [named.value for named in found]
        if ids != list(range(len(found))):
            errors.append(f"--names {path}: the ids must be 0 to {len(found) - 1}, received {ids}")
    if errors:
        raise DataError("the class names cannot be used", errors=errors)
    return tuple(named.name for named in found)


def _is_heading(first: str, second: str) -> bool:
    """Whether the first line of a table is a header, such as `name,r,g,b`."""
    columns = re.split(r"[,;\t]", first.lower())
    named = not {"name", "class"}.isdisjoint(column.strip() for column in columns)
    return len(columns) > 1 and named and any(character.isdigit() for character in second)


def _parse(line: str) -> Named:
    if entry := parse_label_map_line(line):
        return Named(entry.label, int(pack(np.array(entry.colour, np.uint8))), coloured=True)
    parts = [part for part in re.split(r"[,;\t ]+", line) if part]
    ahead, behind = _numbers(parts), _numbers(parts[::-1])
    if ahead >= 3:
        return _coloured(parts[:3], parts[3:])
    if behind >= 3:
        return _coloured(parts[-3:], parts[:-3])
    if ahead == 1 and len(parts) > 1:
        return Named(" ".join(parts[1:]), int(parts[0]))
    if behind == 1 and len(parts) > 1 and re.search(r"[,;\t]", line):
        return Named(" ".join(parts[:-1]), int(parts[-1]))
    return Named(line)


def _coloured(numbers: list[str], words: list[str]) -> Named:
    values = np.array([int(number) for number in numbers])
    value = int(pack(values.astype(np.uint8))) if (values < 256).all() else None
    return Named(" ".join(words), value, coloured=True)


def _numbers(parts: list[str]) -> int:
    """Count the leading parts that are integers."""
    return next((i for i, part in enumerate(parts) if not part.isascii() or not part.isdigit()), len(parts))


COLOUR_NAMES = {
    0x000000: "black", 0xFFFFFF: "white", 0xFF0000: "red", 0x00FF00: "green", 0x0000FF: "blue",
    0xFFFF00: "yellow", 0x00FFFF: "cyan", 0xFF00FF: "magenta", 0x808080: "grey", 0x800000: "dark_red",
    0x008000: "dark_green", 0x000080: "dark_blue", 0x808000: "olive", 0x008080: "teal", 0x800080: "purple",
    0xFFA500: "orange",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Scheme:
    """Mapping from mask values to classes.

    Args:
        kind: Description of the mask format, such as `RGB colours`.
        coloured: Whether values are colours (`mask_format = "colours"`) instead of ids.
        values: Mask value of each class, int64 of shape `(classes,)`.
        classes: Class names.
        palette: Colour of each class, uint8 of shape `(classes, 3)`.
        ignored: Mask values of pixels without a class; at most one for ids.
        pixels: Pixels of each class in each mask, int64 of shape `(masks, classes)`.
        assumptions: Assumptions, one sentence each.
    """

    kind: str
    coloured: bool
    values: np.ndarray
    classes: tuple[str, ...]
    palette: np.ndarray
    ignored: tuple[int, ...]
    pixels: np.ndarray
    assumptions: tuple[str, ...]

    @property
    def mask_ids(self) -> list[int]:
        """Value of `data.mask_ids`; empty if masks contain class ids."""
        ids = self.values.tolist()
        return [] if self.coloured or ids == list(range(len(ids))) else ids

    @property
    def ignore_index(self) -> int:
        """Value of `data.ignore_index`; -1 if every value is a class."""
        if self.coloured:
            return 255
        if self.ignored:
            return self.ignored[0]
        return 255 if not self.mask_ids and len(self.classes) <= 255 else -1


def recognise(
    masks: Mapping[str, ValueCounts], names: Sequence[Named] = (), ignore: Sequence[Named] = ()
) -> Scheme:
    """Map mask values to classes.

    Args:
        masks: Values of each mask, by name of the image.
        names: Given class names; may be empty.
        ignore: Given mask values without a class; may be empty.

    Raises:
        DataError: If masks are of two kinds, contain implausible colours or ids, or the names do not match
            the values; the error lists values and pixels.
    """
    found = find_kind(masks, prefer_colours=any(named.coloured for named in names))
    for value in ignore:
        if value.coloured != found.coloured or value.value not in found.table.values:
            raise _names_do_not_fit(found, f"--ignore {shown(value.value, value.coloured)} is in no mask")
    ignored, assumptions = _ignored(found, names, [value.value for value in ignore])
    values, classes, more = _classes(found, names, ignored)
    palette = _palette(found, values)
    places = np.searchsorted(found.table.values, values)
    present = np.isin(values, found.table.values)
    pixels = np.zeros((len(found.table.pixels), len(values)), np.int64)
    pixels[:, present] = found.table.pixels[:, places[present]]
    return Scheme(
        found.name, found.coloured, values, classes, palette, ignored, pixels,
        (*found.assumptions, *assumptions, *more),
    )  # fmt: skip


def _ignored(
    found: MaskKind, names: Sequence[Named], ignore: Sequence[int]
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Return the values without a class, and the assumptions made."""
    if len(ignore) > 1 and not found.coloured:
        raise DataError(f"--ignore: must be one value for masks of ids, received {list(ignore)}")
    if ignore:
        return tuple(ignore), ()
    void = [named for named in names if named.name.lower() in VOID_NAMES and named.value is not None]
    if void and (found.coloured or len(void) == 1):
        return tuple(named.value for named in void), tuple(
            f"pixels of `{named.name}` ({shown(named.value, found.coloured)}) have no class, according to "
            "the name"
            for named in void
        )
    if found.coloured:
        return (), ()
    *others, highest = found.table.values.tolist()
    plausible = highest in (255, 65535) and len(others) >= 2 and others[-1] < 2 * len(others) + 8
    if plausible and highest not in {named.value for named in names} and len(names) != len(others) + 1:
        return (highest,), (
            f"value {highest} marks pixels without a class, because the other values are small ids",
        )
    return (), ()


def _classes(
    found: MaskKind, names: Sequence[Named], ignored: Sequence[int]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Return mask value and name of each class, and the assumptions made."""
    values = [value for value in found.table.values.tolist() if value not in ignored]
    if not names:
        classes, assumptions = _invented(found, values)
    else:
        values, classes, assumptions = _given(found, values, names, ignored)
    if len(classes) < 2:
        raise _names_do_not_fit(found, "segmentation needs at least 2 classes")
    for value, length in zip(found.table.values.tolist(), found.table.run_length, strict=True):
        if length < SPECK and value in values and len(values) > 2:
            assumptions += (
                f"value {shown(value, found.coloured)} is a class, although it covers only specks of "
                f"{length:.1f} pixels: check whether it is a blend at borders",
            )
    return np.array(values, np.int64), tuple(classes), assumptions


def _invented(found: MaskKind, values: list[int]) -> tuple[list[str], tuple[str, ...]]:
    if found.coloured:
        fallbacks = ["rgb_" + shown(value, True).replace(" ", "_") for value in values]
        classes = [COLOUR_NAMES.get(value, name) for value, name in zip(values, fallbacks, strict=True)]
        extra = (
            ("every colour is a class, including black; --ignore 0,0,0 excludes it",) if 0 in values else ()
        )
        return classes, ("classes are named by their colours; --names sets other names", *extra)
    if values == [0, 255]:
        return ["background", "foreground"], (
            "0 is background and 255 is foreground; --names sets other names",
        )
    return [f"class_{value}" for value in values], (
        "classes are named by their ids; --names sets other names",
    )


def _given(
    found: MaskKind, values: list[int], names: Sequence[Named], ignored: Sequence[int]
) -> tuple[list[int], list[str], tuple[str, ...]]:
    if names[0].value is None:
        return _in_order(found, values, [named.name for named in names], ignored)
    named = {entry.value: entry.name for entry in names if entry.value not in ignored}
    if nameless := [value for value in values if value not in named]:
        listed = ", ".join(shown(value, found.coloured) for value in nameless[:8])
        message = f"--names has no name for {len(nameless)} value(s): {listed}"
        raise _names_do_not_fit(found, message, ignored)
    return list(named), list(named.values()), _absent(found, named)


def _in_order(
    found: MaskKind, values: list[int], classes: list[str], ignored: Sequence[int]
) -> tuple[list[int], list[str], tuple[str, ...]]:
    """Assign names without values to the mask values in ascending order, or to 0, 1, 2, ..."""
    if found.coloured:
        message = "--names must give the colour of each name for masks of colours"
        raise _names_do_not_fit(found, message, ignored)
    if len(classes) == len(values):
        in_order = values == list(range(len(values)))
        return (
            values,
            classes,
            () if in_order else ("names are assigned to the mask values in ascending order",),
        )
    if values[-1] < len(classes) <= MAX_IDS and set(ignored).isdisjoint(range(len(classes))):
        return list(range(len(classes))), classes, _absent(found, dict(enumerate(classes)))
    message = f"--names has {len(classes)} names for {len(values)} classes"
    raise _names_do_not_fit(found, message, ignored)


def _absent(found: MaskKind, named: Mapping[int, str]) -> tuple[str, ...]:
    absent = [name for value, name in named.items() if value not in set(found.table.values.tolist())]
    return (f"classes that no mask shows: {', '.join(absent)}; they are kept",) if absent else ()


def _names_do_not_fit(found: MaskKind, message: str, ignored: Sequence[int] = ()) -> DataError:
    total = found.table.total
    order = np.argsort(-total, kind="stable")[:40]
    errors = [
        f"{shown(int(found.table.values[i]), found.coloured)}: {total[i]:,} pixels"
        + (" (without a class)" if found.table.values[i] in ignored else "")
        for i in order
    ]
    more = len(total) - len(order)
    return DataError(
        f"{message}; the masks contain {len(total)} values:",
        errors=errors + [f"and {more} more"] * (more > 0),
        hint="List `ID name` or `RED GREEN BLUE name` per line in the file of --names; use --ignore VALUE "
        "(or RED,GREEN,BLUE) for pixels without a class.",
    )


def _palette(found: MaskKind, values: np.ndarray) -> np.ndarray:
    if found.coloured:
        return unpack(values)
    if found.palette is not None and values.max() < len(found.palette):
        return found.palette[values]
    return voc_palette(len(values))
