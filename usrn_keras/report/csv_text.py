"""CSV as the reports write it: strings in quotes, numbers bare, notes below as comment lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def csv_text(rows: Iterable[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """`rows` as CSV, each of `notes` as a line `# NOTE` below.

    Strings are always in quotes, so that no name is taken for a comment or a number:
    `pandas.read_csv(file, comment="#")` reads it back. None becomes an empty cell.

    Example:

    >>> print(csv_text([["class", "IoU"], ["road", 0.5], ["pole", None]], ["val"]), end="")
    "class","IoU"
    "road",0.5
    "pole",""
    # val
    """
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerows(rows)
    return buffer.getvalue() + "".join(f"# {' '.join(note.split())}\n" for note in notes)
