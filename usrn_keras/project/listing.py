"""Image and mask files of a folder, sub-folders included."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.walk import walk


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

    Raises:
        DataError: A sub-folder cannot be read.

    Example:

    >>> list_files(Path("photos"), [".jpg", ".png"])   # doctest: +SKIP
    [File(folder='street', stem='a', path=PosixPath('photos/street/a.jpg'))]
    """
    allowed, left_out = set(suffixes), {path.resolve() for path in without}
    found = []
    faults = Faults()
    for parent, subfolders, names in walk(folder, faults.add):
        here = Path(parent)
        subfolders[:] = [name for name in subfolders if (here / name).resolve() not in left_out]
        relative = here.relative_to(folder).as_posix()
        for name in names:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in allowed:
                found.append(File("" if relative == "." else relative, stem, here / name))
    faults.raise_if_any(f"{folder} cannot be read as a whole", hint="Give the right to read it.")
    return sorted(found)


def is_below(path: Path, folder: Path) -> bool:
    """Whether `path` is inside `folder` (and not the folder itself)."""
    path, folder = path.resolve(), folder.resolve()
    return path != folder and folder in path.parents


def absolute(path: Path | str) -> Path:
    """The path from the root of the file system, with `~` and `..` replaced, links kept."""
    return Path(os.path.abspath(Path(path).expanduser()))
