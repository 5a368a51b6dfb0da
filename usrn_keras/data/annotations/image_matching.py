"""Find the image file of each annotation by its path."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.images import IMAGE_SUFFIXES
from usrn_keras.data.file_index import walk


def list_images(folder: Path, errors: ErrorList) -> dict[str, Path]:
    """List the image files below a folder by their path in it, with `/` and suffix.

    Args:
        folder: Folder to search.
        errors: Receives the errors.
    """
    found = {}
    for parent, _, names in walk(folder, errors.add):
        for name in names:
            if Path(name).suffix.lower() in IMAGE_SUFFIXES:
                path = Path(parent) / name
                found[path.relative_to(folder).as_posix()] = path
    return found


class ImageFinder:
    """Finds images by paths of annotations, whose folders may be missing or more than those of the images.

    Args:
        images: Paths of the images below their folder.

    Example:

    >>> finder = ImageFinder(["street/a.jpg", "street/b.jpg", "park/b.jpg"])
    >>> finder.find(["C:\\\\photos\\\\street\\\\a.png"]), finder.find(["b.jpg"]), finder.find(["c.jpg"])
    (['street/a.jpg'], ['street/b.jpg', 'park/b.jpg'], [])
    """

    def __init__(self, images: Iterable[str]):
        self._by_tail: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for image in images:
            parts = _parts(image)
            for start in range(len(parts)):
                self._by_tail[parts[start:]].append(image)

    def find(self, names: Sequence[str]) -> list[str]:
        """Find the images that a path may mean: none, one, or several that cannot be distinguished.

        Args:
            names: Possible paths of the image, the most likely first.
        """
        ambiguous: list[str] = []
        for name in names:
            found = self._find(name)
            if len(found) == 1:
                return found
            ambiguous = ambiguous or found
        return ambiguous

    def _find(self, name: str) -> list[str]:
        parts = _parts(name)
        for start in range(len(parts)):
            found = self._by_tail.get(parts[start:], [])
            # Where both have further folders, these differ: it is another image of the same name.
            found = [image for image in found if start == 0 or len(_parts(image)) == len(parts) - start]
            whole = [image for image in found if len(_parts(image)) == len(parts) - start]
            found = whole or found
            same = [image for image in found if _suffix(image) == _suffix(name)]
            if found:
                return same or found
        return []


def _parts(name: str) -> tuple[str, ...]:
    """Folders and stem of a path, without what leads to the folder of the images."""
    text = unicodedata.normalize("NFC", name.replace("\\", "/"))
    parts = [part for part in text.split("/") if part not in ("", ".", "..")]
    if parts and _suffix(parts[-1]):
        parts[-1] = parts[-1][: -len(_suffix(parts[-1]))]
    return tuple(parts)


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name.replace("\\", "/")).suffix
    return suffix if suffix.lower() in IMAGE_SUFFIXES else ""


def check_targets(images: Mapping[str, str], errors: ErrorList) -> dict[str, str]:
    """Name of the mask of each matched image; two images with one mask are an error.

    Args:
        images: Place of the annotation by image.
        errors: Receives the errors.
    """
    masks: dict[str, str] = {}
    owner: dict[str, str] = {}
    for image in images:
        mask = PurePosixPath(image).with_suffix(".png").as_posix()
        if mask in owner:
            errors.add(f"{owner[mask]} and {image} would have the same mask {mask}: rename one of them")
        owner.setdefault(mask, image)
        masks[image] = mask
    return masks
