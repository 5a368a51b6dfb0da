"""Image and mask files of a folder, sub-folders included."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class File:
    """A file below the folder that was listed.

    Args:
        folder: Its folder relative to the one listed, with `/`; empty at the top.
        stem: Its name without the last suffix.
        path: Where it is.
    """

    folder: str
    stem: str
    path: Path

    @property
    def suffix(self) -> str:
        """The last suffix in lower case, such as `.png`."""
        return self.path.suffix.lower()

    @property
    def shown(self) -> str:
        """The path below the listed folder, for messages."""
        return f"{self.folder}/{self.path.name}" if self.folder else self.path.name


def list_files(folder: Path, suffixes: Iterable[str], *, without: Sequence[Path] = ()) -> list[File]:
    """Files below `folder` with one of the suffixes, sorted; hidden ones and the folders `without` left out.

    Example:

    >>> list_files(Path("photos"), [".jpg", ".png"])   # doctest: +SKIP
    [File(folder='street', stem='a', path=PosixPath('photos/street/a.jpg'))]
    """
    allowed, left_out = set(suffixes), {path.resolve() for path in without}
    found = []
    for parent, subfolders, names in os.walk(folder):
        here = Path(parent)
        subfolders[:] = [
            name for name in subfolders if name[0] != "." and (here / name).resolve() not in left_out
        ]
        relative = here.relative_to(folder).as_posix()
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in allowed and name[0] != ".":
                found.append(File("" if relative == "." else relative, stem, here / name))
    return sorted(found)


def is_below(path: Path, folder: Path) -> bool:
    """Whether `path` is inside `folder` (and not the folder itself)."""
    path, folder = path.resolve(), folder.resolve()
    return path != folder and folder in path.parents


def absolute(path: Path | str) -> Path:
    """The path from the root of the file system, with `~` and `..` replaced, links kept."""
    return Path(os.path.abspath(Path(path).expanduser()))
