"""Going through a folder and its sub-folders: links are followed, what is hidden is left out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path


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

    for parent, subfolders, files in os.walk(folder, followlinks=True, onerror=refused):
        subfolders[:] = sorted(
            name for name in subfolders if recursive and name[0] != "." and not _leads_back(parent, name)
        )
        yield parent, subfolders, sorted(name for name in files if name[0] != ".")


def _leads_back(parent: str, name: str) -> bool:
    """Whether a link goes to a folder that it is in."""
    path = os.path.join(parent, name)
    if not os.path.islink(path):
        return False
    here, there = os.path.realpath(parent), os.path.realpath(path)
    return here == there or here.startswith(there.rstrip(os.sep) + os.sep)
