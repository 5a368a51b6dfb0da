"""Understand the lines of list files as different tools write them."""

from __future__ import annotations

import csv
import posixpath
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.masks import MASK_SUFFIXES
from usrn_keras.data.name_pattern import normal

LINE_FORMS = (
    "A line may be the name or the path of an image, with or without suffix, absolute only inside the data "
    "set, or an image and its mask separated by a space, tab, comma or semicolon; a table may have a heading "
    "such as image,mask"
)
_SEPARATORS = ("\t", ",", ";")
_SUFFIXES = "|".join(suffix[1:] for suffix in dict.fromkeys((*IMAGE_SUFFIXES, *MASK_SUFFIXES)))
_PAIR = re.compile(rf"(?P<image>\S.*?\.(?:{_SUFFIXES}))\s+(?P<mask>\S.*\.(?:{_SUFFIXES}))", re.IGNORECASE)
_IMAGE_COLUMN = re.compile(
    r"(?:image|img|photo|picture|input|file|x)s?[ _-]?(?:name|path|file|id|url)?s?|(?:file_?)?(?:name|path)"
)
_MASK_COLUMN = re.compile(r".*(?:mask|label|annotation|seg|target|truth|gt).*|y")


@dataclass(frozen=True)
class ListLine:
    """A line of a list.

    Args:
        number: Number of the line, from 1.
        text: The whole line.
        image: What names the image.
        mask: What names the mask; may be empty.
    """

    number: int
    text: str
    image: str
    mask: str = ""


def parse_lines(lines: Sequence[str], knows: Callable[[str], bool]) -> Iterator[ListLine]:
    """Find what names the image in each line, skipping empty lines, comments (`#`) and a heading.

    Args:
        lines: Lines without their ends.
        knows: Function that says whether a text names an image of the data set. A line that does as a whole
            is not split, so names may contain separators.

    Example:

    >>> [line.image for line in parse_lines(["image,mask", "a.jpg,a.png", "b.jpg b.jpg"], lambda text: False)]
    ['a.jpg', 'b.jpg']
    """
    columns: tuple[int, int | None] | None = None
    first = True
    for number, line in enumerate(lines, 1):
        text = normal(line.strip())
        if not text or text.startswith("#"):
            continue
        fields = [text] if knows(text) else _fields(text, knows)
        if first and not any(map(knows, fields)):
            columns = _heading(fields)
        if first and columns is not None:
            first = False
            continue
        first = False
        image, mask = _choose(fields, columns, knows)
        yield ListLine(number, text, image, mask)


def clean_entry(entry: str) -> str:
    """Write a path with slashes and without `.` and quotes; a Windows path keeps its drive.

    Example:

    >>> clean_entry(".\\\\images\\\\a.jpg"), clean_entry("images/x/../a.jpg")
    ('images/a.jpg', 'images/a.jpg')
    """
    entry = entry.strip().strip("\"'").replace("\\", "/")
    return posixpath.normpath(entry) if entry else entry


def without_suffix(entry: str) -> str:
    """Leave out the suffix of an image."""
    path = PurePosixPath(entry)
    return (path.with_suffix("") if path.suffix.lower() in IMAGE_SUFFIXES else path).as_posix()


def _fields(text: str, knows: Callable[[str], bool]) -> list[str]:
    """Split a line at the separator that gives an image of the data set, or else paths or a heading."""
    splits = [_split(text, separator) for separator in _SEPARATORS if separator in text]
    for is_one in (knows, _has_suffix):
        if found := next((fields for fields in splits if any(map(is_one, fields))), None):
            return found
    if found := next(filter(_heading, splits), None):
        return found
    if pair := _PAIR.fullmatch(text):
        return [pair["image"], pair["mask"]]
    words = text.split()
    return words if len(words) > 1 and knows(words[0]) else [text]


def _split(text: str, separator: str) -> list[str]:
    return [field.strip() for field in next(csv.reader([text], delimiter=separator, skipinitialspace=True))]


def _heading(fields: Sequence[str]) -> tuple[int, int | None] | None:
    """Return the columns of the image and of the mask of a heading; None if it is no heading."""
    words = [field.strip().lower() for field in fields]
    images = [i for i, word in enumerate(words) if _IMAGE_COLUMN.fullmatch(word)]
    if not images:
        images = [i for i, word in enumerate(words) if re.search("image|img", word) and " " not in word]
    masks = [i for i, word in enumerate(words) if _MASK_COLUMN.fullmatch(word) and i not in images]
    if not images or any(map(_has_suffix, words)) or (len(words) == 1 and words[0] not in _ALONE):
        return None
    return images[0], masks[0] if masks else None


_ALONE = ("image", "images", "filename", "file_name", "image_path", "image_name", "img_path", "image_id")


def _choose(
    fields: Sequence[str], columns: tuple[int, int | None] | None, knows: Callable[[str], bool]
) -> tuple[str, str]:
    """Choose the image and the mask among the fields of a line."""
    if columns is not None and columns[0] < len(fields):
        image, mask = columns
        return fields[image], fields[mask] if mask is not None and mask < len(fields) else ""
    known = [i for i, field in enumerate(fields) if knows(field)]
    likely = known or [i for i, field in enumerate(fields) if _has_suffix(field)] or [0]
    others = [field for i, field in enumerate(fields) if i != likely[0] and _has_suffix(field)]
    return fields[likely[0]], others[0] if others else ""


def _has_suffix(field: str) -> bool:
    return PurePosixPath(field.strip("\"'")).suffix.lower() in {*IMAGE_SUFFIXES, *MASK_SUFFIXES}
