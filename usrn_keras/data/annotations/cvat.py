"""CVAT "Segmentation mask 1.1": colour masks in SegmentationClass, their names in labelmap.txt."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.data.file_index import read_lines
from usrn_keras.data.mask_values import pack, rgb_text
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.errors import DataError

LABEL_MAP = "labelmap.txt"
CLASS_MASKS, OBJECT_MASKS = "SegmentationClass", "SegmentationObject"
HEADING = "# label:color_rgb:parts:actions"
SHOWN = 8

# The name may contain colons; parts and actions are lists separated by commas, and may be empty.
LINE = re.compile(
    r"(?P<name>.+?):(?P<red>\d+),(?P<green>\d+),(?P<blue>\d+):(?P<parts>[^:]*):(?P<actions>[^:]*)"
)


@dataclass(frozen=True)
class LabelMapEntry:
    """A line of labelmap.txt: a label and its colour, RED GREEN BLUE."""

    label: str
    colour: tuple[int, int, int]


def parse_label_map_line(line: str) -> LabelMapEntry | None:
    """Parse a line `label:R,G,B:parts:actions`; None if it is of another form.

    Example:

    >>> parse_label_map_line("traffic light:250,170,30:pole,lamp:")
    LabelMapEntry(label='traffic light', colour=(250, 170, 30))
    >>> parse_label_map_line("road") is None
    True
    """
    found = LINE.fullmatch(line)
    colour = tuple(int(found[channel]) for channel in ("red", "green", "blue")) if found else ()
    return LabelMapEntry(found["name"], colour) if found and max(colour) < 256 else None


def read_label_map(path: Path, shown: str, errors: ErrorList) -> list[LabelMapEntry]:
    """Read labelmap.txt.

    Args:
        path: Path of the file.
        shown: Name of the file in messages.
        errors: Receives the errors.
    """
    try:
        lines = read_lines(path)
    except DataError as error:
        errors.add(error.message)
        return []
    entries: dict[tuple[int, int, int], LabelMapEntry] = {}
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#"):
            continue
        entry = parse_label_map_line(line)
        if entry is None:
            errors.add(f"{shown}, line {number}: {line!r} is not `label:RED,GREEN,BLUE:parts:actions`")
        elif entry.colour in entries and entries[entry.colour].label != entry.label:
            errors.add(
                f"{shown}, line {number}: `{entry.label}` has the colour of `{entries[entry.colour].label}`, "
                f"{entry.colour}; each label must have its own"
            )
        else:
            entries.setdefault(entry.colour, entry)
    if not entries and not errors.lines:
        errors.add(f"{shown} contains no label; a line must be `label:RED,GREEN,BLUE:parts:actions`")
    return list(entries.values())


def is_cvat(root: Path) -> bool:
    """Whether a folder is a CVAT export of segmentation masks."""
    return (root / LABEL_MAP).is_file() and (root / CLASS_MASKS).is_dir()


def read_cvat(root: Path, errors: ErrorList) -> AnnotationSet:
    """Read an export "Segmentation mask 1.1".

    Args:
        root: Folder of labelmap.txt and SegmentationClass.
        errors: Receives the errors.
    """
    entries = read_label_map(root / LABEL_MAP, LABEL_MAP, errors)
    labels = tuple(dict.fromkeys(entry.label for entry in entries))
    table = {int(pack(np.array(e.colour, np.uint8))): labels.index(e.label) for e in entries}
    folder = root / CLASS_MASKS
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in MASK_SUFFIXES)
    images = []
    for path in files:
        shown = path.relative_to(root).as_posix()
        name = path.relative_to(folder).with_suffix("").as_posix()
        images.append(AnnotatedImage((name,), shown, read_labels=partial(_read, path, shown, table, entries)))
    notes = [f"the classes are read from {CLASS_MASKS}"]
    objects = sorted((root / OBJECT_MASKS).rglob("*.png"))
    if objects:
        notes[0] += f"; {OBJECT_MASKS} has objects of one class in different colours, and is not used"
    return AnnotationSet(
        "CVAT segmentation masks 1.1",
        tuple(images),
        labels,
        {entry.label: entry.colour for entry in entries},
        complete=True,
        masks=tuple(path.relative_to(root).as_posix() for path in [*files, *objects]),
        notes=tuple(notes),
    )


def _read(path: Path, shown: str, table: Mapping[int, int], entries: list[LabelMapEntry]) -> np.ndarray:
    raw = read_raw(path)
    if raw.values.ndim == 2 and raw.palette is None:
        raise DataError(f"{shown} contains grey values; it must contain the colours of {LABEL_MAP}")
    colours = raw.values if raw.palette is None else _palette_colours(raw.palette, raw.values)
    values, places = np.unique(pack(colours), return_inverse=True)
    unknown = [int(value) for value in values.tolist() if value not in table]
    if unknown:
        allowed = ", ".join(f"{' '.join(map(str, e.colour))} {e.label}" for e in entries[:SHOWN])
        raise DataError(
            f"{shown} contains {len(unknown)} colours that are not in {LABEL_MAP}: "
            f"{', '.join(map(rgb_text, unknown[:SHOWN]))}; allowed are {allowed}"
            + ", ..."
            * (len(entries) > SHOWN)
        )
    ids = np.array([table[value] for value in values.tolist()], np.int64)
    return ids[places].reshape(colours.shape[:2])


def _palette_colours(palette: np.ndarray, indices: np.ndarray) -> np.ndarray:
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(palette)] = palette[:256]
    return colours[indices]


def label_map_text(entries: list[LabelMapEntry]) -> str:
    """Format labelmap.txt."""
    lines = [f"{entry.label}:{','.join(map(str, entry.colour))}::" for entry in entries]
    return "\n".join([HEADING, *lines, ""])


def write_cvat_mask(path: Path, labels: np.ndarray, colours: np.ndarray) -> None:
    """Write a mask of SegmentationClass.

    Args:
        path: Path of the PNG file.
        labels: Label ids, `(height, width)`.
        colours: Colour of each id, `(ids, 3)` uint8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours[labels]).save(path)
