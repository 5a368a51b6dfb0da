"""Files that survive a crash: the old file or the new one is there, never a half; and the cache folder."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from usrn_keras.errors import StorageError

_SPACE = "Free or grant the space and run the same command again: it goes on where it was."
_RIGHT = "Get the right to write there, or choose another place; the same command goes on where it was."
_PLACE = "Choose another place: a part of this path is a file, or a folder, or its name is too long."
REFUSALS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _SPACE),
    **dict.fromkeys((errno.EACCES, errno.EROFS, errno.EPERM), _RIGHT),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG), _PLACE),
}
"""What to do where the operating system refuses to write, by its error."""


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it when the block ends without an error.

    Raises:
        StorageError: The disk is full or the folder cannot be written; `path` is as before.

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
        # The suffix stays last: writers such as Keras and OpenCV choose the format by it.
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
    """A temporary path, for a file or a folder, that replaces `path` when the block ends without an error.

    After an error or an interrupt, `path` is as before, and folders made for it are gone.

    Args:
        path: The target. A folder that is there is replaced whole.
        name: Name of the temporary path, whatever the target is called: some writers want their suffix.

    Raises:
        StorageError: The disk is full or the folder cannot be written.

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
    """Remove what `atomic_path` and `staged_path` of a killed process left below a folder."""
    for leftover in list(folder.rglob(".*-*.tmp*")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)  # perhaps it went with its folder


def files_of(path: Path) -> list[Path]:
    """The file itself, or every file below a folder."""
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def _publish(source: Path, target: Path, *, aside: Path) -> None:
    """Put `source` in the place of `target`; a folder that is there moves `aside`, and back on an error."""
    for file in files_of(source):
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
    """Turn the operating system's refusals to write into a `StorageError` that names `path`."""
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", hint=REFUSALS[error.errno]
        ) from error


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` atomically as JSON."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


@functools.cache
def _umask() -> int:
    """Asked once: to ask is to change it, for a moment and for all threads."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


_umask()  # before there are threads


def cache_folder() -> Path:
    """`usrn-keras` in the user's cache folder, which `XDG_CACHE_HOME` names."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "usrn-keras"
