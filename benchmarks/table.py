"""Rows of results in a CSV file that may gain columns."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping
from pathlib import Path


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a file; none if there is no such file."""
    if not path.exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write all rows and replace the file in one go; a column that a row lacks is empty there."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8", newline="") as file:
        columns = list(dict.fromkeys(column for row in rows for column in row))
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(new, path)


def append(path: Path, row: Mapping[str, object]) -> None:
    """Append a row; columns that are new to the file are empty in its earlier rows."""
    write(path, [*read(path), row])


def publish(rows: Iterable[Mapping[str, object]], facts: Mapping[str, object], path: Path | None) -> None:
    """Print each row as soon as it is measured, and append it to a file.

    Args:
        rows: The rows.
        facts: Columns that are the same in all rows: where, when and at which commit they are measured.
        path: The CSV file; None: rows are only printed.
    """
    for row in rows:
        row = {**row, **facts}
        print(row, flush=True)
        if path:
            append(path, row)


def spread(name: str, values: list[float], digits: int = 3) -> dict[str, float]:
    """Columns `NAME_median`, `NAME_min` and `NAME_max`."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    found = {"median": median, "min": ordered[0], "max": ordered[-1]}
    return {f"{name}_{key}": round(float(value), digits) for key, value in found.items()}
