"""Match masks with images whose names differ in a usual way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

SEPARATORS = "_-"  # in place of the slash of a path


def match_masks(images: Mapping[str, Path], masks: Mapping[str, Path]) -> dict[str, Path]:
    """Give masks the names of their images.

    Besides equal names, the name of a mask may be the file name of the image with its suffix (`a.jpg.png`),
    or the path of the image in one word (`street_a.png` for `street/a.jpg`).

    Args:
        images: Image files by name.
        masks: Mask files by name.

    Returns:
        Mask files by the name of their image, or by their own name without an image.

    Example:

    >>> images = {"a": Path("a.jpg"), "street/b": Path("street/b.png")}
    >>> match_masks(images, {"a.jpg": Path("a.jpg.png"), "street_b": Path("street_b.png")})
    {'a': PosixPath('a.jpg.png'), 'street/b': PosixPath('street_b.png')}
    """
    if all(name in images for name in masks):
        return dict(masks)
    aliases: dict[str, str] = {}
    doubtful = set()
    for name, path in images.items():
        for alias in () if name in masks else _aliases(name, path):
            if aliases.setdefault(alias, name) != name:
                doubtful.add(alias)
    found: dict[str, Path] = {}
    for name, path in masks.items():
        other = name if name in images or name in doubtful else aliases.get(name, name)
        found[name if other in found or other in masks else other] = path
    return found


def _aliases(name: str, path: Path) -> Iterator[str]:
    yield f"{name}{path.suffix}"
    for separator in SEPARATORS * ("/" in name):
        flat = name.replace("/", separator)
        yield flat
        yield f"{flat}{path.suffix}"
