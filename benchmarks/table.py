"""Rows of results in a CSV file that may gain columns."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file; none where there is no file yet."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write all rows, whole or not at all; a column that a row does not have is empty there."""
    rows = list(rows)
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8", newline="") as file:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(new, path)


def append(path: Path, row: Mapping[str, object]) -> None:
    """Append a row; columns that the file does not have yet are empty in the rows that it has."""
    write(path, [*read(path), row])


def spread(name: str, values: list[float], digits: int = 3) -> dict[str, float]:
    """Columns `NAME_median`, `NAME_min` and `NAME_max`."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    found = {"median": median, "min": ordered[0], "max": ordered[-1]}
    return {f"{name}_{key}": round(value, digits) for key, value in found.items()}
