"""From measured peaks to the numbers of `usrn_keras/budget/calibration.py`."""

from __future__ import annotations

import csv
import dataclasses
import os
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from usrn_keras.budget.calibration import CPU, MB, Calibration
from usrn_keras.budget.memory import Footprint, ImageMemory

FREE = (
    "start",
    "call",
    "state",
    "gradients",
    "kept",
    "work",
    "labelled_logits",
    "unlabelled_logits",
    "overlap",
)
# Bytes are fitted in these units; a number that the rows do not tell stays near what it was.
UNITS = np.array([200 * MB, 0.5 * MB, 1, 1, 1, 1, 10, 10, 1])
PULL = 0.02


def fit(path: Path) -> None:
    """Print the numbers that make the predictions of the rows of a CSV closest, backend by backend.

    The predictions in the CSV become those that the numbers give.
    """
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    for backend in dict.fromkeys(row["backend"] for row in rows):
        of_backend = [row for row in rows if row["backend"] == backend]
        numbers = fitted(of_backend, CPU[backend])
        print(backend, numbers)
        for row in of_backend:
            told, measured = predicted(row, numbers) / 1e6, float(row["measured_mb"])
            row |= {"predicted_mb": f"{told:.1f}", "error_percent": f"{100 * (told / measured - 1):.1f}"}
            print(f"    {_name(row):60} measured {measured:7.0f} MB, {row['error_percent']} %")
    new = path.with_name(path.name + ".new")
    with open(new, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(new, path)


def fitted(rows: list[dict[str, str]], before: Calibration) -> Calibration:
    """The numbers with the smallest squares of relative errors."""
    start = np.array([getattr(before, name) for name in FREE]) / UNITS

    def residuals(values: np.ndarray) -> np.ndarray:
        numbers = _replaced(before, values)
        errors = [predicted(row, numbers) / (1e6 * float(row["measured_mb"])) - 1 for row in rows]
        return np.concatenate([errors, PULL * (values - start)])

    best = least_squares(residuals, start, bounds=(0, np.inf)).x
    process = float(np.median([1e6 * float(row["process_mb"]) for row in rows]))
    return _rounded(dataclasses.replace(_replaced(before, best), process=process))


def predicted(row: dict[str, str], numbers: Calibration) -> float:
    """The peak of a row, in bytes."""

    def image(view: str) -> ImageMemory:
        return ImageMemory(*(1e6 * float(row[f"{view}_{name}_mb"]) for name in ("kept", "work", "logits")))

    strong = image("strong") if row["method"] == "USRN" else None
    weights, trainable = (1e6 * float(row[f"{name}_mb"]) for name in ("weights", "trainable"))
    counted = Footprint(weights, trainable, int(row["calls"]), image("labelled"), strong)
    # The rows hold the bytes of whole batches.
    return counted.memory(1, 1, numbers, process=1e6 * float(row["process_mb"])).peak


def _replaced(before: Calibration, values: np.ndarray) -> Calibration:
    return dataclasses.replace(before, **dict(zip(FREE, (values * UNITS).tolist(), strict=True)))


def _rounded(numbers: Calibration) -> Calibration:
    digits = {"process": -7, "start": -6, "call": -4}
    values = {name: round(getattr(numbers, name), digits.get(name, 2)) for name in ("process", *FREE)}
    return dataclasses.replace(numbers, **values)


def _name(row: dict[str, str]) -> str:
    sizes = f"{row['batch']} x {row['crop']}, {row['subclasses']} subclasses"
    return f"{row['method']} {row['backbone']} {sizes}"
