"""Index the files of a data set by name: walk folders, read text files, validate names."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.name_pattern import PLACEHOLDER, Pattern, normal
from usrn_keras.errors import DataError


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file in UTF-8, with or without byte order mark, stripped of spaces.

    Args:
        path: Path of the file.

    Raises:
        DataError: The file cannot be read, or has another encoding, such as Windows-1252 or UTF-16.

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
    """Whether a path can be written to a text file. Names from old archives may contain other bytes.

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
    """Format a path for a message on one line, with `\\xdf` for a byte that is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\n", "\\n")


def walk(
    folder: Path | str, report: Callable[[str], None], *, recursive: bool = True
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a folder of images like `os.walk`, in the order of the names.

    Links to other folders are followed, except to their own parents. Names with a leading dot are skipped,
    such as `._photo.jpg`, which macOS writes next to `photo.jpg` and which is not an image.

    Args:
        folder: Folder to walk, which may not exist.
        report: Callback for the error of each folder that cannot be read; such folders are skipped.
        recursive: Whether to include sub-folders.

    Yields:
        A folder, its sub-folders (names removed from this list are skipped), and its files.
    """

    def report_unreadable(error: OSError) -> None:
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            report(f"the folder {error.filename} cannot be read: {error.strerror}")

    # The real paths of a folder and of its parents.
    chains = {str(folder): (os.path.realpath(folder),)}
    for parent, subfolders, files in os.walk(folder, followlinks=True, onerror=report_unreadable):
        chain, kept = chains.pop(parent), []
        for name in sorted(subfolders) if recursive else ():
            path = os.path.join(parent, name)
            real = os.path.realpath(path) if os.path.islink(path) else os.path.join(chain[-1], name)
            if name[0] != "." and not _is_cycle(real, chain):
                kept.append(name)
                chains[path] = (*chain, real)
        subfolders[:] = kept
        yield parent, subfolders, sorted(name for name in files if name[0] != ".")


def _is_cycle(real: str, chain: tuple[str, ...]) -> bool:
    """Whether a folder is one of its parents or contains one of them."""
    return any(one == real or one.startswith(real.rstrip(os.sep) + os.sep) for one in chain)


def index_files(
    folder: Path,
    suffixes: tuple[str, ...],
    errors: ErrorList,
    *,
    pattern: str = PLACEHOLDER,
    skip: Collection[Path] = (),
    recursive: bool = True,
) -> dict[str, Path]:
    """Index every file below `folder` that has one of the suffixes, by name.

    The name is the path relative to the folder, with `/` as separator and composed letters (Unicode NFC),
    whose last part is the text that matches `{name}` in `pattern`. Hidden files and files that do not match
    are skipped. Two files with the same name are an error.

    Args:
        folder: Folder to search.
        suffixes: Suffixes in lower case, with the dot.
        errors: Receives the errors.
        pattern: Pattern of the file name without suffix, with one `{name}`; a folder before it, as in
            `rgb/{name}`, must be in the path and is left out of the name.
        skip: Files and folders to skip.
        recursive: Whether to include sub-folders.
    """
    found: dict[str, Path] = {}
    parsed = Pattern.parse(pattern) or Pattern()
    skipped = set(map(str, skip))
    for parent, subfolders, files in walk(folder, errors.add, recursive=recursive):
        subfolders[:] = [name for name in subfolders if join_path(parent, name) not in skipped]
        relative = Path(parent).relative_to(folder).as_posix()
        inside = "" if relative == "." else normal(relative)
        for file in files:
            stem, suffix = os.path.splitext(file)
            name = parsed.find(inside, normal(stem)) if suffix.lower() in suffixes else None
            path = join_path(parent, file)
            if name is None or path in skipped:
                continue
            if not is_utf8(f"{inside}/{file}"):
                errors.add(f"{shown_path(Path(path))}: the name is not UTF-8; rename the file")
            else:
                add_file(found, name, Path(path), errors)
    return found


def index_parts(
    folder: Path,
    parts: tuple[str, ...],
    suffixes: tuple[str, ...],
    errors: ErrorList,
    *,
    pattern: str = "{name}",
) -> dict[str, Path]:
    """Index the sub-folders `parts` and the folder itself by names without the part, see `index_files`."""
    found = index_files(folder, suffixes, errors, pattern=pattern, recursive=False)
    for part in parts:
        for name, path in index_files(folder / part, suffixes, errors, pattern=pattern).items():
            add_file(found, name, path, errors)
    return found


def join_path(parent: str, name: str) -> str:
    """Join a folder of `walk` and a name as `Path` does, without a leading `.`."""
    return name if parent == "." else os.path.join(parent.removeprefix(f".{os.sep}"), name)


def add_file(found: dict[str, Path], name: str, path: Path, errors: ErrorList) -> None:
    """Add a file to an index by name; a second file with the same name is an error."""
    if name in found:
        errors.add(f"{found[name]} and {path} have the same name `{name}`: rename or remove one of them")
    found.setdefault(name, path)
