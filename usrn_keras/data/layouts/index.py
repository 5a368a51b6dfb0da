"""The files of a data set by name."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from usrn_keras.data.faults import Faults
from usrn_keras.data.files.walk import walk
from usrn_keras.data.layouts.text import is_utf8, shown_path


def index_files(
    folder: Path,
    suffixes: tuple[str, ...],
    faults: Faults,
    *,
    pattern: str = "{name}",
    skip: Collection[Path] = (),
    recursive: bool = True,
) -> dict[str, Path]:
    """Every file below `folder` with one of the suffixes, by name.

    The name is the path relative to the folder, with `/`, of whose last part stands what `pattern` has
    `{name}` for. Files that do not match are left out, and so is what is hidden. Two files of one name
    are a fault.

    Args:
        folder: Where to look.
        suffixes: Lower-case, with the dot.
        faults: Takes the faults.
        pattern: File name without suffix, with one `{name}`.
        skip: Files and folders to leave out.
        recursive: Whether to look into sub-folders.
    """
    found: dict[str, Path] = {}
    before, after = pattern.split("{name}")
    skipped = set(map(str, skip))
    for parent, subfolders, files in walk(folder, faults.add, recursive=recursive):
        subfolders[:] = [name for name in subfolders if _join(parent, name) not in skipped]
        relative = Path(parent).relative_to(folder).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        for file in files:
            stem, suffix = os.path.splitext(file)
            if suffix.lower() not in suffixes or not _matches(stem, before, after):
                continue
            path = _join(parent, file)
            if path in skipped:
                continue
            if not is_utf8(prefix + file):
                faults.add(f"{shown_path(Path(path))}: the name is not UTF-8, rename it")
            else:
                _add(found, prefix + stem[len(before) : len(stem) - len(after)], Path(path), faults)
    return found


def index_parts(
    folder: Path,
    parts: tuple[str, ...],
    suffixes: tuple[str, ...],
    faults: Faults,
    *,
    pattern: str = "{name}",
) -> dict[str, Path]:
    """`index_files` of the sub-folders `parts` and of the folder itself; the names leave the part out."""
    found = index_files(folder, suffixes, faults, pattern=pattern, recursive=False)
    for part in parts:
        for name, path in index_files(folder / part, suffixes, faults, pattern=pattern).items():
            _add(found, name, path, faults)
    return found


def _join(parent: str, name: str) -> str:
    """As `Path` has it: the folder `.` leaves no trace."""
    return name if parent == "." else os.path.join(parent.removeprefix(f".{os.sep}"), name)


def _matches(stem: str, before: str, after: str) -> bool:
    return len(stem) > len(before) + len(after) and stem.startswith(before) and stem.endswith(after)


def _add(found: dict[str, Path], name: str, path: Path, faults: Faults) -> None:
    if name in found:
        faults.add(f"{found[name]} and {path} have the same name `{name}`: rename or remove one")
    found.setdefault(name, path)
