"""Lists of names: reading them, and matching them with the files on disk."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.images import IMAGE_SUFFIXES
from usrn_keras.data.files.masks import MASK_SUFFIXES
from usrn_keras.data.layouts.text import read_lines
from usrn_keras.data.sample import Sample
from usrn_keras.errors import DataError

Names = tuple[str, ...]


@dataclass(frozen=True)
class Lists:
    """The names in each part of a data set."""

    labelled: Names
    unlabelled: Names
    val: Names
    test: Names = ()


def read_list(path: Path, faults: Faults, canonical: Callable[[str], str] = str) -> Names:
    """The names in a list file, one per line; empty lines and lines that start with `#` are skipped.

    A name may carry the suffix of its image: `street/a.jpg` and `street/a` are both `street/a`. Of a line
    `IMAGE MASK`, as in the lists of the official code, the image is taken.
    Paths that are absolute or lead out of the data set (`..`) are faults, and so are repeated names.

    Args:
        path: The list file.
        faults: Takes the faults.
        canonical: Gives the name that the data set has for an entry, such as a path from its root.
    """
    names: dict[str, int] = {}
    for number, line in enumerate(_lines(path, faults), 1):
        if not line or line.startswith("#"):
            continue
        entry = _image_of_pair(line)
        if _leads_outside(entry):
            faults.add(f"{path}, line {number}: `{line}` is no path inside the data set")
            continue
        name = canonical(_without_suffix(PurePosixPath(entry)))
        if name in names:
            faults.add(f"{path}, line {number}: `{name}` stands in line {names[name]} already")
        names.setdefault(name, number)
    return tuple(names)


def _lines(path: Path, faults: Faults) -> list[str]:
    if not path.is_file():
        faults.add(f"the list {path} does not exist")
        return []
    try:
        return read_lines(path)
    except DataError as error:
        faults.add(f"the list {error.message}")
        return []


def _image_of_pair(line: str) -> str:
    """The image of a line `IMAGE MASK`, whose paths may begin with the slash of the root; else the line."""
    image, _, mask = line.partition(" ")
    suffixes = (PurePosixPath(image).suffix.lower(), PurePosixPath(mask).suffix.lower())
    is_pair = suffixes[0] in IMAGE_SUFFIXES and suffixes[1] in MASK_SUFFIXES and " " not in mask.strip()
    return image.removeprefix("/") if is_pair else line


def _leads_outside(entry: str) -> bool:
    path = entry.replace("\\", "/")
    return ".." in path.split("/") or bool(re.match(r"/|[A-Za-z]:", path))


def _without_suffix(path: PurePosixPath) -> str:
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


def make_samples(
    part: str,
    names: Iterable[str],
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    faults: Faults,
) -> tuple[Sample, ...]:
    """Samples for a list of names.

    A missing image is a fault; so is a missing mask, except in the part `unlabelled`.
    """
    samples = []
    for name in names:
        if name not in images:
            faults.add(f"{part}: there is no image `{name}`")
        elif name not in masks and part != "unlabelled":
            faults.add(f"{part}: there is no mask for {images[name]}")
        else:
            samples.append(Sample(name, images[name], masks.get(name)))
    return tuple(samples)
