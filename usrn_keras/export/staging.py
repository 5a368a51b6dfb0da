"""A temporary folder beside the target, whose content takes the target's place at the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from usrn_keras.errors import ExportError
from usrn_keras.files import storage_errors

SAVED_MODEL_MARK = "saved_model.pb"


@contextmanager
def staged(path: Path, name: str) -> Iterator[Path]:
    """A temporary path, file or folder, that replaces `path` when the block ends without an error.

    Args:
        path: The target.
        name: Name of the temporary path, whatever the target is called: converters want their suffix.

    Raises:
        StorageError: The disk is full or the folder cannot be written.
    """
    with storage_errors(path):
        created = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.stem}-"))
        try:
            yield staging / name
            replace(staging / name, path, aside=staging / "replaced")
        except BaseException:
            shutil.rmtree(staging)
            for folder in created:
                folder.rmdir()
            raise
        shutil.rmtree(staging)


def replace(source: Path, target: Path, *, aside: Path) -> None:
    """Put `source` in the place of `target`; a folder that is there moves `aside` first."""
    for file in files_of(source):
        with open(file, "rb") as written:
            os.fsync(written.fileno())
    if target.is_dir():
        os.rename(target, aside)
    os.replace(source, target)


def refuse_foreign_folder(path: Path, *, folder: bool) -> None:
    """Only an earlier export may be replaced.

    Raises:
        ExportError: `path` is a folder that holds something else, or a file where a folder is
            to be written.
    """
    if path.is_dir() and not (folder and ((path / SAVED_MODEL_MARK).exists() or not any(path.iterdir()))):
        raise ExportError(
            f"{path} is a folder and no earlier export: it is not replaced",
            hint="Name a file or folder inside it.",
        )
    if folder and path.is_file():
        raise ExportError(f"{path} is a file; this format writes a folder", hint="Choose another name.")


def files_of(path: Path) -> list[Path]:
    """The file itself, or every file below a folder."""
    return [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]


def size_of(path: Path) -> int:
    """Bytes of a file or of a folder's files."""
    return sum(file.stat().st_size for file in files_of(path))
