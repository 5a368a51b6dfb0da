"""Hashes of the contents of files, each computed once as long as the file does not change."""

from __future__ import annotations

import hashlib
from pathlib import Path

# By path: size and time of the last change, and the hash.
_known: dict[str, tuple[tuple[int, int], str]] = {}


def content_hash(path: Path | str) -> str | None:
    """Compute a hash of the content of a file, 32 hexadecimal digits; None if it cannot be read.

    Args:
        path: Path of the file.
    """
    try:
        with open(path, "rb") as file:
            state = Path(path).stat()
            key = state.st_size, state.st_mtime_ns
            found = _known.get(str(path))
            if found is None or found[0] != key:
                digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
                found = _known[str(path)] = key, digest
    except OSError:
        return None
    return found[1]
