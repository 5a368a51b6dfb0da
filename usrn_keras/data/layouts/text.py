"""Text files that a person writes: lists, names of classes, colours."""

from __future__ import annotations

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
