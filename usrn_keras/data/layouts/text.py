"""Text files that a person writes, lists, names of classes, colours; and names that can stand in them."""

from __future__ import annotations

import os
from pathlib import Path

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
