"""Write files atomically: after a crash, a path has the old file or the new file, never a part of it."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from usrn_keras.damaged_files import damaged_file, describe_problem
from usrn_keras.errors import StorageError

_SPACE = "Free disk space or raise the quota, then run the same command again to resume."
_PERMISSION = "Get write permission or choose another folder, then run the same command again to resume."
_PATH = "Choose another path: a part of it is a file where a folder is needed, or exists, or is too long."
_DEVICE = "The device reports an error: check the disk, then run the same command again to resume."
WRITE_ERROR_HINTS = {
    errno.EIO: _DEVICE,
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EROFS, errno.EPERM), _PERMISSION),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG), _PATH),
}
"""Hints for write errors of the operating system, by `errno`."""

NOT_AS_EXPECTED = (
    ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError, zipfile.BadZipFile, zlib.error,
    SyntaxError, tokenize.TokenError, struct.error, OverflowError, NotImplementedError, RecursionError,
)  # fmt: skip
"""Errors of a file that is incomplete or whose content is of another format, type or shape."""

Parsed = TypeVar("Parsed")


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Create a temporary path in the folder of `path` that replaces it if the block ends without an error.

    Args:
        path: Target file.

    Yields:
        Temporary path to write to.

    Raises:
        StorageError: The disk is full or the folder is not writable. `path` is unchanged.

    Example:

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with atomic_path(target) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The suffix stays at the end: writers such as Keras and OpenCV infer the format from it.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=f".tmp{path.suffix}")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_path(path: Path | str, name: str = "new") -> Iterator[Path]:
    """Create a temporary path that replaces the file or folder `path` if the block ends without an error.

    After an error or an interrupt, `path` is unchanged and folders created for it are removed.

    Args:
        path: Target file or folder. An existing folder is replaced as a whole.
        name: Name of the temporary path, independent of the target: some writers require a suffix.

    Yields:
        Temporary path to write to.

    Raises:
        StorageError: The disk is full or the folder is not writable.

    Example:

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "lists"
    >>> with staged_path(target) as temporary:
    ...     temporary.mkdir()
    ...     _ = (temporary / "val.txt").write_text("a")
    >>> [file.name for file in target.iterdir()]
    ['val.txt']
    """
    path = Path(path)
    with storage_errors(path):
        created = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp"))
        try:
            yield staging / name
            _publish(staging / name, path, aside=staging / "replaced")
            created = []
        finally:
            shutil.rmtree(staging, ignore_errors=True)
            for folder in created:
                folder.rmdir()


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files that a killed process left below a folder.

    Args:
        folder: Folder that was written with `atomic_path` or `staged_path`.
    """
    for leftover in leftovers(folder):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)  # its folder may have been removed before


def leftovers(folder: Path) -> list[Path]:
    """List the temporary files and folders that a killed process left below a folder."""
    return list(folder.rglob(".*-*.tmp*"))


def collect_files(path: Path) -> list[Path]:
    """List every file below a folder; for a file, the file itself."""
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _publish(source: Path, target: Path, *, aside: Path) -> None:
    """Replace `target` with `source`; an existing folder moves to `aside`, and back after an error."""
    for file in collect_files(source):
        with open(file, "rb") as written:
            os.fsync(written.fileno())
    if source.is_dir():
        source.chmod(0o777 & ~_umask())
    if not target.is_dir():
        os.replace(source, target)
        return
    os.rename(target, aside)
    try:
        os.rename(source, target)
    except BaseException:
        os.rename(aside, target)
        raise


@contextlib.contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Convert write errors of the operating system to a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in WRITE_ERROR_HINTS:
            raise
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", hint=WRITE_ERROR_HINTS[error.errno]
        ) from error


@contextlib.contextmanager
def damage_reported(path: Path | str) -> Iterator[None]:
    """Convert the errors of code that reads a file and parses its content to a `RunError`.

    Args:
        path: Path of the file.

    Raises:
        RunError: The file cannot be read or is damaged; the error names it, and what to do about it.
    """
    try:
        yield
    except (OSError, *NOT_AS_EXPECTED) as error:
        raise damaged_file(Path(path), error) from error


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` atomically as JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path | str, parse: Callable[[Any], Parsed] = lambda value: value) -> Parsed:
    """Read a JSON file.

    Args:
        path: Path of the file.
        parse: Converts the JSON value to the result. An error that it raises because the value is of another
            type or lacks a key is reported as damage to the file.

    Raises:
        RunError: The file cannot be read or is damaged; the error names it and what to do about it.

    Example:

    >>> read_json("sizes.json", lambda value: [int(size) for size in value["sizes"]])  # doctest: +SKIP
    [120, 118]
    """
    with damage_reported(path):
        text = Path(path).read_text(encoding="utf-8")
        if not text.strip():
            raise ValueError("the file is empty")
        return parse(json.loads(text))


def read_json_lines(path: Path | str, parse: Callable[[Any], Parsed]) -> list[Parsed]:
    """Read a file with a JSON value in each line; no file is no lines.

    A last line without a line end is what a crash leaves of a record, and is skipped.

    Args:
        path: Path of the file.
        parse: Converts the JSON value of a line to the result, as in `read_json`.

    Raises:
        RunError: The file cannot be read, or another line is damaged; the error names the line.
    """
    if not Path(path).exists():
        return []
    found = []
    with damage_reported(path):
        for number, line in enumerate(Path(path).read_bytes().split(b"\n")[:-1], start=1):
            try:
                found.append(parse(json.loads(line.decode())))
            except NOT_AS_EXPECTED as error:
                raise ValueError(f"line {number}: {describe_problem(error)}") from error
    return found


@functools.cache
def _umask() -> int:
    """Read the umask once: reading it changes it for a moment in all threads."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


_umask()  # cached before any thread starts


def cache_folder() -> Path:
    """Folder `usrn-keras` in the cache folder of the user (`XDG_CACHE_HOME`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usrn-keras"
