"""Lock of a run folder: one process at a time."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from usrn_keras.errors import RunError
from usrn_keras.files import storage_errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Lock a folder until the block ends.

    The lock is the file `.lock`, and on POSIX systems the folder itself, too: a lock of the folder survives
    that somebody deletes the file.

    Args:
        path: Existing folder.

    Raises:
        RunError: Another process has locked it.
        StorageError: The folder is not writable.
    """
    lock = filelock.FileLock(path / ".lock", timeout=0)
    used = RunError(
        f"{path} is used by another process",
        hint="Wait until it ends, or choose another folder: --run FOLDER",
    )
    with contextlib.ExitStack() as locks:
        if fcntl is not None and not _lock_directory(path, locks):
            raise used
        try:
            with storage_errors(path):
                lock.acquire()
        except filelock.Timeout:
            raise used from None
        locks.callback(lock.release)
        yield


def _lock_directory(path: Path, locks: contextlib.ExitStack) -> bool:
    """Lock the folder itself; False if another process has. Some network file systems cannot: then True."""
    directory = os.open(path, os.O_RDONLY)
    locks.callback(os.close, directory)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
