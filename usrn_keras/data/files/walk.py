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
