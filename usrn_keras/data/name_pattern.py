"""Patterns of file names, such as `{name}_mask`, and of folders within paths, such as `rgb/{name}`."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

PLACEHOLDER = "{name}"


@dataclass(frozen=True, order=True)
class Pattern:
    """Which files are meant, and which part of their paths is the name.

    Args:
        prefix: Text before the name in the file stem.
        suffix: Text after the name in the file stem.
        folder: Folder in the path that is no part of the name, such as `rgb` in `drive_A/rgb/000`; empty if
            all folders are part of it.
    """

    prefix: str = ""
    suffix: str = ""
    folder: str = ""

    def name_of(self, stem: str) -> str | None:
        """Return the name in a file stem, or None if the stem does not match."""
        fits = stem.startswith(self.prefix) and stem.endswith(self.suffix)
        name = stem[len(self.prefix) : len(stem) - len(self.suffix)] if fits else ""
        return name or None

    def find(self, folder: str, stem: str) -> str | None:
        """Return the name of a file with its folders, or None if the path does not match.

        Args:
            folder: Folder of the file below the listed folder, with `/`; empty at the top.
            stem: File name without its last suffix.

        Example:

        >>> Pattern(suffix="_rgb", folder="photos").find("drive_A/photos", "000_rgb")
        'drive_A/000'
        """
        folder, name = leave_out(folder, self.folder), self.name_of(stem)
        if folder is None or name is None:
            return None
        return f"{folder}/{name}" if folder else name

    def stem_of(self, name: str) -> str:
        """Return the file stem of `name`."""
        return f"{self.prefix}{name}{self.suffix}"

    def __str__(self) -> str:
        stem = self.stem_of(PLACEHOLDER)
        return f"{self.folder}/{stem}" if self.folder else stem

    @classmethod
    def parse(cls, text: str) -> Pattern | None:
        """Parse a pattern; None unless it contains `{name}` exactly once, in its last part.

        Example:

        >>> Pattern.parse("rgb/{name}_left")
        Pattern(prefix='', suffix='_left', folder='rgb')
        """
        folder, _, stem = text.rpartition("/")
        parts = stem.split(PLACEHOLDER)
        if len(parts) != 2 or PLACEHOLDER in folder or folder.strip("/") != folder:
            return None
        return cls(*(normal(part) for part in (*parts, folder)))


def leave_out(folder: str, part: str) -> str | None:
    """Leave the last occurrence of a folder out of a path; None if the path does not contain it.

    Example:

    >>> leave_out("train/images/street", "images"), leave_out("train", "images"), leave_out("train", "")
    ('train/street', None, 'train')
    """
    if not part:
        return folder
    before, found, after = f"/{folder}/".rpartition(f"/{part}/")
    return "/".join(filter(None, [before.strip("/"), after.strip("/")])) if found else None


def normal(name: str) -> str:
    """Compose the letters of a name (Unicode NFC): macOS writes `ä` as two characters, other systems as one.

    Example:

    >>> normal("a\\u0308") == "\\u00e4"
    True
    """
    return unicodedata.normalize("NFC", name)
