"""Unpack a zip archive of annotations into a temporary folder, within limits."""

from __future__ import annotations

import contextlib
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from usrn_keras.errors import DataError

MAX_MEMBERS = 500_000
MAX_BYTES = 2**34  # 16 GiB of all unpacked files
MAX_RATIO = 500  # unpacked bytes per byte of the archive, beyond FREE_BYTES
FREE_BYTES = 2**27
# Photographs in the archive are not needed: those of --images are used.
SUFFIXES = (".json", ".txt", ".yaml", ".yml", ".png", ".csv", ".names", ".xml")


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Unpack the annotation files of an archive; the folder is removed when the block ends.

    Args:
        path: Path of a zip file.

    Yields:
        Temporary folder.

    Raises:
        DataError: The archive is damaged or encrypted, a member would be written outside the folder, or the
            unpacked files exceed the limits. Then nothing is unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="usrn-annotations-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                check_members(path, members)
                for member in members:
                    if PurePosixPath(member.filename).suffix.lower() in SUFFIXES:
                        archive.extract(member, folder)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{path} cannot be unpacked: {error}",
                hint="Export the annotations again as an unencrypted zip.",
            ) from error
        yield Path(folder)


def check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Check names and sizes before anything is unpacked.

    Raises:
        DataError: The error lists up to 20 members that are not allowed.
    """
    errors = [f"{member.filename!r}: {problem}" for member in members if (problem := _problem(member))]
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS:
        errors.append(f"it has {len(members):,} files; allowed are {MAX_MEMBERS:,}")
    allowed = min(MAX_BYTES, max(FREE_BYTES, MAX_RATIO * path.stat().st_size))
    if total > allowed:
        errors.append(
            f"it unpacks to {total:,} bytes, {total // max(1, path.stat().st_size):,} times its size; "
            f"allowed are {allowed:,} bytes"
        )
    if errors:
        raise DataError(
            f"{path} is not a safe archive",
            errors=[*errors[:20], *[f"and {len(errors) - 20} more"] * (len(errors) > 20)],
            hint="Nothing was unpacked. If you trust it, unpack it yourself and give the folder instead.",
        )


def _problem(member: zipfile.ZipInfo) -> str:
    name = member.orig_filename.replace("\\", "/")
    if name.startswith("/") or ":" in name.split("/")[0] or ".." in name.split("/"):
        return "leads outside the archive; allowed are paths below its top folder"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a symbolic link; allowed are files and folders"
    return ""
