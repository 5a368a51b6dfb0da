"""Class names from a text file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from usrn_keras.data.files.colours import pack
from usrn_keras.data.layouts.text import read_lines
from usrn_keras.errors import DataError

FORMS = "a name, `ID name`, `RED GREEN BLUE name` or `name,RED,GREEN,BLUE`"


@dataclass(frozen=True)
class Named:
    """A class name, and the mask value that its line gives.

    Args:
        name: The name.
        value: Id, or packed colour, or None where the line is only a name.
        coloured: Whether `value` is a colour.
    """

    name: str
    value: int | None = None
    coloured: bool = False


def read_names(path: Path, faults: list[str]) -> list[Named]:
    """The names in a file, one per line; empty lines and lines that start with `#` are skipped.

    Every line must be of one form: a name, `ID name`, `RED GREEN BLUE name` or `name,RED,GREEN,BLUE`
    (spaces, tabs or commas). Faults are added to `faults`.
    """
    try:
        lines = enumerate(read_lines(path), 1)
    except DataError as error:
        faults.append(f"--names {error.message}")
        return []
    numbered = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if len(numbered) > 1 and _is_heading(numbered[0][1], numbered[1][1]):
        del numbered[0]
    names = [_parse(line) for _, line in numbered]
    if not names:
        faults.append(f"--names {path} holds no name")
    for (number, line), named in zip(numbered, names, strict=True):
        if not named.name or (named.coloured and named.value is None):
            faults.append(f"--names {path}, line {number}: {line!r} is none of {FORMS}")
    if len({(named.value is None, named.coloured) for named in names}) > 1:
        faults.append(f"--names {path}: every line must be of one form, {FORMS}")
    for what, found in (("name", [n.name for n in names]), ("value", [n.value for n in names])):
        for twice in sorted({entry for entry in found if entry is not None and found.count(entry) > 1}):
            faults.append(f"--names {path}: the {what} {twice!r} stands there twice")
    return names


def _is_heading(first: str, second: str) -> bool:
    """Whether the first line of a table names its columns, as in `name,r,g,b`."""
    columns = re.split(r"[,;\t]", first.lower())
    named = not {"name", "class"}.isdisjoint(column.strip() for column in columns)
    return len(columns) > 1 and named and any(character.isdigit() for character in second)


def _parse(line: str) -> Named:
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
    """How many of the parts are whole numbers, from the first on."""
    return next((i for i, part in enumerate(parts) if not part.isascii() or not part.isdigit()), len(parts))
