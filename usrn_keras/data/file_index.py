"""Finding the files of a data set by name: walking folders, reading text files, names that text can hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from usrn_keras.data.dataset import Faults
from usrn_keras.errors import DataError


def read_lines(path: Path) -> list[str]:
    """The lines of a text file in UTF-8, with or without byte order mark, without spaces around them.

    Raises:
        DataError: The file cannot be read, or is in another encoding, such as Windows-1252 or UTF-16.

    Example:

    >>> read_lines(Path("nowhere.txt"))
    Traceback (most recent call last):
    usrn_keras.errors.DataError: nowhere.txt cannot be read: No such file or directory
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} cannot be read: line {number} is not UTF-8; save the file with the encoding UTF-8"
        ) from None


def is_utf8(path: Path | str) -> bool:
    """Whether a path can be written to a text file; names from old archives may hold other bytes.

    Example:

    >>> is_utf8("straße.png"), is_utf8("stra\\udcdfe.png")
    (True, False)
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_path(path: Path) -> str:
    """The path for a message, of one line, with `\\xdf` for a byte that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")


def walk(
    folder: Path | str, tell: Callable[[str], None], *, recursive: bool = True
) -> Iterator[tuple[str, list[str], list[str]]]:
    """`os.walk` in the order of the names, for folders of images as people have them.

    Links to other folders are followed, except back to where they lie in. What begins with a dot is left
    out: such as the `._photo.jpg` that macOS writes beside `photo.jpg`, which is no image.

    Args:
        folder: Where to begin; there may be none.
        tell: Told of each folder that cannot be read, which is left out.
        recursive: Whether to go into sub-folders.

    Yields:
        A folder, its sub-folders (names removed from this list are left out), and its files.
    """

    def refused(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            tell(f"the folder {error.filename} cannot be read: {error.strerror}")

    # The real paths of a folder and of those that it was reached by.
    chains = {str(folder): (os.path.realpath(folder),)}
    for parent, subfolders, files in os.walk(folder, followlinks=True, onerror=refused):
        chain, kept = chains.pop(parent), []
        for name in sorted(subfolders) if recursive else ():
            path = os.path.join(parent, name)
            real = os.path.realpath(path) if os.path.islink(path) else os.path.join(chain[-1], name)
            if name[0] != "." and not _leads_back(real, chain):
                kept.append(name)
                chains[path] = (*chain, real)
        subfolders[:] = kept
        yield parent, subfolders, sorted(name for name in files if name[0] != ".")


def _leads_back(real: str, chain: tuple[str, ...]) -> bool:
    """Whether a folder is one that it was reached by, or holds it."""
    return any(one == real or one.startswith(real.rstrip(os.sep) + os.sep) for one in chain)


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
