"""Sizes and hashes of the files that a stage has made, and what has changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple


class ChangedProduct(NamedTuple):
    """A product that is not as it was written.

    Attributes:
        name: Path relative to the run folder, such as `1-baseline/model.keras`.
        problem: What is wrong, such as `is missing`.
    """

    name: str
    problem: str


def describe_products(run: Path, files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Describe files by size and SHA-256.

    Args:
        run: Run folder.
        files: Files in it; those that do not exist are left out.

    Returns:
        `size` in bytes and `sha256` by the path relative to the run folder.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "centers.npy").write_bytes(b"12345")
    >>> products = describe_products(folder, [folder / "centers.npy"])
    >>> products["centers.npy"]["size"], products["centers.npy"]["sha256"][:8]
    (5, '5994471a')
    >>> _ = (folder / "centers.npy").write_bytes(b"1234")
    >>> changed_products(folder, products)
    [ChangedProduct(name='centers.npy', problem='has 4 bytes instead of 5')]
    """
    return {
        file.relative_to(run).as_posix(): {"size": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(files)
        if file.is_file()
    }


def changed_products(
    run: Path, products: Mapping[str, Mapping[str, Any]], *, hashes: bool = True
) -> list[ChangedProduct]:
    """List the products that are missing or have changed.

    Args:
        run: Run folder.
        products: What `describe_products` returned when they were written.
        hashes: Whether to compare the content, too, and not only the size; reads every byte.
    """
    found = ((name, _problem(run / name, known, hashes)) for name, known in products.items())
    return [ChangedProduct(name, problem) for name, problem in found if problem]


def _problem(file: Path, known: Mapping[str, Any], hashes: bool) -> str:
    try:
        size = file.stat().st_size
        if not file.is_file():
            return "is not a file"
        if size != known["size"]:
            return f"has {size} bytes instead of {known['size']}"
        if hashes and _sha256(file) != known["sha256"]:
            return "has another content than was written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return ""


def _sha256(file: Path) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
