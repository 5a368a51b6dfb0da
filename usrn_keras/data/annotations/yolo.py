"""YOLO segmentation: a text file of polygons for each image, with class names in data.yaml or classes.txt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, Shape
from usrn_keras.data.annotations.json_documents import abridged
from usrn_keras.data.annotations.regions import inside_polygon
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.file_index import read_lines
from usrn_keras.errors import DataError

LABELS = "labels"  # folder of the text files
NAME_FILES = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "labels/classes.txt", "obj.names")
LINE = "`CLASS x1 y1 x2 y2 x3 y3 ...`, with 3 or more points in 0..1"
MAX_NAMES = 2**20  # bytes


def name_file(root: Path) -> Path | None:
    """The file of class names of a folder; None if there is none."""
    return next((root / name for name in NAME_FILES if (root / name).is_file()), None)


def label_files(root: Path) -> list[Path]:
    """Text files of polygons: those in folders `labels`, or else all that are not lists of names."""
    files = sorted(path for path in root.rglob("*.txt") if path.name != "classes.txt")
    inside = [path for path in files if LABELS in path.relative_to(root).parts[:-1]]
    return inside or [path for path in files if "readme" not in path.name.lower()]


def is_yolo(root: Path) -> bool:
    """Whether a folder has class names and text files of polygons."""
    names = name_file(root)
    files = label_files(root) if names else []
    inside = any(LABELS in path.relative_to(root).parts for path in files)
    return inside or (bool(files) and all(_starts_with_numbers(path) for path in files))


def _starts_with_numbers(path: Path) -> bool:
    try:
        first = next((line for line in read_lines(path) if line), "")
        return len([float(word) for word in first.split()]) > 4  # a class, and a box or a polygon
    except (DataError, ValueError):
        return False


def read_yolo(root: Path, errors: ErrorList) -> AnnotationSet:
    """Read polygons of a YOLO data set.

    Args:
        root: Folder of data.yaml (or classes.txt) and of the text files.
        errors: Receives the errors.
    """
    path = name_file(root)
    labels = _read_names(path, path.name, errors) if path else ()
    images = []
    for file in label_files(root):
        shown = file.relative_to(root).as_posix()
        shapes = _read_shapes(file, shown, labels, errors) if labels else ()
        # labels/train/a.txt belongs to images/train/a.jpg, and train/labels/a.txt to train/images/a.jpg.
        parts = [part for part in file.relative_to(root).with_suffix("").parts if part != LABELS]
        beside = ["images" if part == LABELS else part for part in Path(shown).with_suffix("").parts]
        images.append(AnnotatedImage(("/".join(beside), "/".join(parts), parts[-1]), shown, shapes=shapes))
    return AnnotationSet("YOLO polygons", tuple(images), labels)


def _read_names(path: Path, shown: str, errors: ErrorList) -> tuple[str, ...]:
    if path.suffix not in (".yaml", ".yml"):
        try:
            return tuple(line for line in read_lines(path) if line)
        except DataError as error:
            errors.add(error.message)
            return ()
    try:
        if path.stat().st_size > MAX_NAMES:
            raise ValueError(f"it has {path.stat().st_size:,} bytes; the limit is {MAX_NAMES:,}")
        content = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        errors.add(f"{shown} cannot be read: {' '.join(str(error).split())}")
        return ()
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and names and set(names) == set(range(len(names))):
        names = [names[index] for index in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(n, (str, int)) for n in names):
        errors.add(
            f"{shown}, names: must be a list of class names, or a mapping from 0, 1, 2, ... to them; "
            f"received {abridged(names)}"
        )
        return ()
    return tuple(map(str, names))


def _read_shapes(path: Path, shown: str, labels: Sequence[str], errors: ErrorList) -> tuple[Shape, ...]:
    try:
        lines = read_lines(path)
    except DataError as error:
        errors.add(error.message)
        return ()
    shapes = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        place = f"{shown}, line {number}"
        try:
            key, *values = line.split()
            index, points = int(key), np.array([float(value) for value in values])
        except ValueError:
            errors.add(f"{place}: {abridged(line)} is not {LINE}")
            continue
        if len(points) == 4:
            errors.add(f"{place}: a box (4 numbers) is not a mask; a line must be {LINE}")
        elif len(points) < 6 or len(points) % 2 or not all(map(math.isfinite, points)):
            errors.add(f"{place}: {len(points)} numbers after the class; a line must be {LINE}")
        elif not 0 <= index < len(labels):
            errors.add(f"{place}: the class {index} is not known; allowed are 0 to {len(labels) - 1}")
        else:
            points = points.reshape(-1, 2)
            shapes.append(Shape(labels[index], place, partial(_draw, points), points, in_shares=True))
    return tuple(shapes)


def _draw(points: np.ndarray, height: int, width: int) -> np.ndarray:
    return inside_polygon(points * (width, height), height, width)
