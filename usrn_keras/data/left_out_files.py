"""Files of a folder that are left out, by reason, and sentences about them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.data.decoding.unreadable import UNREAD_SUFFIXES
from usrn_keras.data.file_index import walk

SHOWN = 5
UNREAD = "pictures in formats that are not read"
NO_IMAGE_PATTERN = "images whose names do not match the pattern"
NO_MASK_PATTERN = "masks whose names do not match the pattern"
NOT_LISTED = "images that are in no list"


@dataclass(frozen=True)
class LeftOut:
    """Files that are left out for one reason.

    Args:
        reason: One of `UNREAD`, `NO_IMAGE_PATTERN`, `NO_MASK_PATTERN` and `NOT_LISTED`.
        files: The files, sorted.
        message: How many files, which, and why, in one sentence.
        advice: What to do to use them.
    """

    reason: str
    files: tuple[Path, ...]
    message: str
    advice: str

    def __str__(self) -> str:
        return f"{self.message}. {self.advice}"


def find_unread(
    folders: Iterable[Path],
    report: Callable[[str], None] = lambda line: None,
    *,
    without: Sequence[Path] = (),
) -> list[LeftOut]:
    """Find pictures in formats that are not read, by their suffixes.

    Args:
        folders: Folders to search, with their sub-folders.
        report: Callback for the error of each folder that cannot be read.
        without: Folders to skip.
    """
    skipped = {os.path.realpath(folder) for folder in without}
    found: dict[str, Path] = {}
    for folder in folders:
        for parent, subfolders, names in walk(folder, report):
            subfolders[:] = [
                n for n in subfolders if os.path.realpath(os.path.join(parent, n)) not in skipped
            ]
            for name in names:
                if os.path.splitext(name)[1].lower() in UNREAD_SUFFIXES:
                    path = Path(parent, name)
                    found.setdefault(os.path.realpath(path), path)
    return describe_unread(sorted(found.values()))


def describe_unread(files: Sequence[Path]) -> list[LeftOut]:
    """Describe pictures in formats that are not read; empty without any.

    Example:

    >>> print(*describe_unread([Path("a.HEIC"), Path("b.avif"), Path("c.avif")]))
    3 pictures are left out, because their formats are not read: 1 HEIC (a.HEIC), 2 AVIF (b.avif, c.avif). \
Convert them to JPEG or PNG, for example with `magick mogrify -format png *.avif` (ImageMagick).
    """
    if not files:
        return []
    by_format: dict[str, list[Path]] = {}
    for file in files:
        by_format.setdefault(UNREAD_SUFFIXES[file.suffix.lower()], []).append(file)
    kinds = ", ".join(f"{len(own)} {name} ({name_some(own)})" for name, own in by_format.items())
    largest = max(by_format.values(), key=len)
    one = len(files) == 1
    return [
        LeftOut(
            UNREAD,
            tuple(files),
            f"{len(files)} picture{'s are' * (not one)}{' is' * one} left out, because "
            f"{'its format is' if one else 'their formats are'} not read: {kinds}",
            f"Convert {'it' if one else 'them'} to JPEG or PNG, for example with `magick mogrify -format png "
            f"*{largest[0].suffix}` (ImageMagick).",
        )
    ]


def describe_unmatched(
    images: Sequence[Path], masks: Sequence[Path], image_pattern: object, mask_pattern: object
) -> list[LeftOut]:
    """Describe images and masks whose names do not match the patterns.

    Args:
        images, masks: The files.
        image_pattern, mask_pattern: Patterns such as `{name}_mask`.
    """
    found = []
    if images:
        found.append(
            LeftOut(
                NO_IMAGE_PATTERN,
                tuple(images),
                f"{len(images)} image(s) do not match `{image_pattern}` and are left out: "
                f"{name_some(images)}",
                "Rename them, or move them to another folder.",
            )
        )
    if masks:
        found.append(
            LeftOut(
                NO_MASK_PATTERN,
                tuple(masks),
                f"{len(masks)} mask(s) do not match `{mask_pattern}` and are not used: {name_some(masks)}",
                f"Images without another mask count as unlabelled. Rename the masks to `{mask_pattern}`, or "
                "choose another pattern (--mask-pattern, data.mask_pattern).",
            )
        )
    return found


def describe_not_listed(files: Sequence[Path]) -> list[LeftOut]:
    """Describe images of the folders that no list names; empty without any.

    Args:
        files: The images, sorted.
    """
    if not files:
        return []
    return [
        LeftOut(
            NOT_LISTED,
            tuple(files),
            f"{len(files)} image(s) in the folders are in no list and are not used: {name_some(files)}",
            "If they were added later, add their names to the list of unlabelled images (data.unlabelled), "
            "or run `usrn init` again for a new project.",
        )
    ]


def name_some(paths: Sequence[Path]) -> str:
    """Name the first files, and count the others.

    Example:

    >>> name_some([Path(f"photos/{i}.png") for i in range(7)])
    '0.png, 1.png, 2.png, 3.png, 4.png, ... (2 more)'
    """
    shown = ", ".join(path.name for path in paths[:SHOWN])
    return f"{shown}, ... ({len(paths) - SHOWN} more)" if len(paths) > SHOWN else shown
