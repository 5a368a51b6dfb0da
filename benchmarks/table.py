"""Rows of results in a CSV file that may gain columns."""

from __future__ import annotations

import csv
import os
from pathlib import Path


def append(path: Path, row: dict[str, object]) -> None:
    """Append a row; columns that the file does not have yet are empty in the rows that it has."""
    old, columns = [], list(row)
    if path.exists():
        with open(path, newline="") as file:
            reader = csv.DictReader(file)
            old = list(reader)
            columns = [*reader.fieldnames, *(name for name in row if name not in reader.fieldnames)]
    new = path.with_name(path.name + ".new")
    with open(new, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*old, row])
    os.replace(new, path)


def spread(name: str, values: list[float], digits: int = 3) -> dict[str, float]:
    """Columns `NAME_median`, `NAME_min` and `NAME_max`."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    found = {"median": median, "min": ordered[0], "max": ordered[-1]}
    return {f"{name}_{key}": round(value, digits) for key, value in found.items()}
