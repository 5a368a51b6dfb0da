"""A folder of lists, written so that it is there whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from usrn_keras.data.layouts.lists import Lists
from usrn_keras.data.sample import PARTS
from usrn_keras.errors import StorageError
from usrn_keras.files import staged_path


def refuse_existing(folder: Path, *, force: bool) -> None:
    """Refuse a folder that exists, unless it is a split that may be replaced.

    Raises:
        StorageError: it exists and `force` is not given, or it holds anything but lists of a split.
    """
    if not folder.exists():
        return
    known = {f"{part}.txt" for part in PARTS}
    foreign = sorted({path.name for path in folder.iterdir()} - known) if folder.is_dir() else [folder.name]
    if foreign:
        raise StorageError(
            f"{folder} exists and is no folder of a split: it holds {', '.join(foreign[:5])}",
            hint="Choose another folder with --out.",
        )
    if not force:
        raise StorageError(
            f"{folder} exists already", hint="Choose another with --out, or replace it with --force."
        )


@contextmanager
def split_folder(folder: Path, lists: Lists, header: str) -> Iterator[Path]:
    """Write the lists to a temporary folder, which takes the place of `folder` when the block ends well.

    Args:
        folder: Where the lists will be; what is there is replaced.
        lists: Empty lists of val and test are left out.
        header: A comment for the first line of each list.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    with staged_path(folder) as temporary:
        temporary.mkdir()
        _write(temporary, lists, header)
        yield temporary


def _write(folder: Path, lists: Lists, header: str) -> None:
    for part, names in asdict(lists).items():
        if names or part in ("labelled", "unlabelled"):
            lines = (f"# {header}", *names)
            (folder / f"{part}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
