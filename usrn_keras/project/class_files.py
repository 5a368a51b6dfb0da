"""One black-and-white mask per class of an image: find such files, and join them to one mask per image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from usrn_keras.data.batches.prefetch import ordered_map
from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.data.masks import check_size
from usrn_keras.errors import DataError
from usrn_keras.machine import usable_cores
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.naming_rules import SEPARATORS, File

BACKGROUND = "background"
CHECKED = 24  # files whose values are read to see whether they are black and white
MOST_CLASSES = 254
LABEL_STUDIO = re.compile(r"task-\d+-annotation-\d+-by-.+-tag-.+-\d+$")


@dataclass(frozen=True, eq=False)
class ClassFiles:
    """Masks of one class each.

    Args:
        masks: File of each class, by name of the image and of the class.
        classes: Class names, sorted, without the background.
        where: Where the class is written, such as `after the name of the image`.
        others: Files that belong to no image.
    """

    masks: dict[str, dict[str, Path]]
    classes: tuple[str, ...]
    where: str
    others: tuple[Path, ...]


def find_class_files(images: Sequence[File], masks: Sequence[File]) -> ClassFiles | None:
    """Find masks of one class each: several black-and-white masks of an image whose names end in a class.

    The class may be written after or before the name of the image (`a_cat.png`, `cat_a.png`), or be a folder
    (`cat/a.png`, `a/cat.png`).

    Args:
        images: Image files.
        masks: Mask files; of the same folder, images are among them.

    Returns:
        The files by image and class; None if the masks are of another kind.

    Raises:
        DataError: The masks are named by tasks of Label Studio, or by numbers, so that images or classes are
            not known.
    """
    _check_label_studio(masks)
    names = {f"{file.folder}/{file.stem}".strip("/") for file in images}
    shared = {file.path for file in images}
    best: dict[tuple[str, str], Path] = {}
    where = ""
    for way, split in _WAYS.items():
        found: dict[tuple[str, str], Path] = {}
        for mask in masks:
            key = split(mask, names)
            if key:
                found.setdefault(key, mask.path)
        if len(found) > len(best):
            best, where = found, way
    by_image: dict[str, dict[str, Path]] = defaultdict(dict)
    for (name, label), path in best.items():
        by_image[name][label] = path
    classes = sorted({label for _, label in best})
    several = [found for found in by_image.values() if len(found) > 1]
    known = {*best.values(), *shared}
    others = tuple(mask.path for mask in masks if mask.path not in known)
    if len(classes) < 2 or 2 * len(several) < len(by_image) or len(best) < len(others):
        return None
    files = sorted(best.values())
    if not all(map(_is_black_and_white, files[:: max(1, len(files) // CHECKED)])):
        return None
    if all(label.isdigit() for label in classes) or len(classes) > MOST_CLASSES:
        raise _instances(next(iter(several)))
    return ClassFiles(dict(sorted(by_image.items())), tuple(classes), where, others)


def join_class_files(
    found: ClassFiles,
    images: Mapping[str, Path],
    target: Path,
    errors: list[str],
    *,
    progress: Progress = SILENT,
) -> tuple[dict[str, Path], str]:
    """Write one mask for each image: 0 is the background, 1, 2, ... are the classes.

    Args:
        found: Masks of one class each.
        images: Image files by name.
        target: Folder of the new masks.
        errors: Receives the errors.
        progress: Progress display, which counts images.

    Returns:
        The written masks by name of the image, and a sentence about pixels in several classes; it is empty
        without any.
    """

    def join(name: str) -> tuple[str, Path | None, int, str]:
        try:
            ids, overlap = _joined(images[name], found.masks[name], found.classes)
        except DataError as error:
            return name, None, 0, error.message
        path = target / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".png", ids)[1].tobytes())
        return name, path, overlap, ""

    written: dict[str, Path] = {}
    overlaps: Counter[str] = Counter()
    workers = min(16, usable_cores())
    with progress.task("joining masks", total=len(found.masks)) as task:
        for name, path, overlap, error in ordered_map(join, found.masks, workers=workers, ahead=4 * workers):
            task.advance()
            if path is None:
                errors.append(error)
                continue
            written[name] = path
            overlaps[name] += overlap
    if not overlaps.total():
        return written, ""
    shown = ", ".join(f"{name} ({count})" for name, count in overlaps.most_common(3) if count)
    return written, (
        f"{overlaps.total():,} pixels of {sum(map(bool, overlaps.values()))} image(s) are in several classes "
        f"and get the last one in the order {', '.join(found.classes)}: {shown}"
    )


def _joined(image: Path, masks: Mapping[str, Path], classes: Sequence[str]) -> tuple[np.ndarray, int]:
    """Class ids `(height, width)` uint8, and the number of pixels in several classes."""
    size = read_facts(image).size
    ids, times = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    for class_id, name in enumerate(classes, 1):
        if name in masks:
            inside = _foreground(masks[name])
            check_size(image, size, masks[name], inside.shape)
            ids[inside] = class_id
            times += inside
    return ids, int(np.count_nonzero(times > 1))


def _foreground(path: Path) -> np.ndarray:
    """Pixels that are not black, `(height, width)` bool."""
    raw = read_raw(path)
    values = raw.values
    if raw.palette is not None:
        values = np.append(raw.palette, np.zeros((256, 3), np.uint8), axis=0)[values]
    return values.any(axis=-1) if values.ndim == 3 else values > 0


def _is_black_and_white(path: Path) -> bool:
    """Whether a mask has 0 and at most one other value."""
    try:
        values = read_raw(path).values
    except DataError:
        return False
    found = np.unique(values.reshape(-1, *values.shape[2:]), axis=0)
    return len(found) == 1 or (len(found) == 2 and not found[0].any())


def _after(mask: File, names: set[str]) -> tuple[str, str] | None:
    for at in range(len(mask.stem) - 1, 0, -1):
        name = f"{mask.folder}/{mask.stem[:at]}".strip("/")
        label = mask.stem[at:].lstrip(SEPARATORS)
        if mask.stem[at] in SEPARATORS and label and name in names:
            return name, label
    return None


def _before(mask: File, names: set[str]) -> tuple[str, str] | None:
    for at in range(1, len(mask.stem)):
        name = f"{mask.folder}/{mask.stem[at:]}".strip("/")
        label = mask.stem[:at].rstrip(SEPARATORS)
        if mask.stem[at - 1] in SEPARATORS and label and name in names:
            return name, label
    return None


def _in_folder(mask: File, names: set[str]) -> tuple[str, str] | None:
    label, _, rest = mask.folder.partition("/")
    name = f"{rest}/{mask.stem}".strip("/")
    return (name, label) if label and name in names else None


def _under_image(mask: File, names: set[str]) -> tuple[str, str] | None:
    return (mask.folder, mask.stem) if mask.folder in names else None


_WAYS = {
    "after the name of the image": _after,
    "before the name of the image": _before,
    "as the first folder": _in_folder,
    "as the file name in a folder per image": _under_image,
}


def _check_label_studio(masks: Sequence[File]) -> None:
    tasks = [mask for mask in masks if LABEL_STUDIO.match(mask.stem)]
    if not tasks or 2 * len(tasks) < len(masks):
        return
    raise DataError(
        f"{len(tasks)} masks have the names of Label Studio's brush export, such as {tasks[0].path.name}: "
        "they name the task and the class, but not the image",
        hint="The task list of Label Studio (export JSON or JSON-MIN) says which image each task shows: put "
        "this file into the folder of the masks, and run the command again.",
    )


def _instances(found: Mapping[str, Path]) -> DataError:
    named = ", ".join(path.name for path in sorted(found.values())[:3])
    return DataError(
        f"the masks look like several black-and-white masks of each image that differ in a number, such as "
        f"{named}; whether a number is a class or an object is not known",
        hint="If it is a class, name it in words (photo_0_cat.png): `usrn init` joins one mask per class. "
        "Masks of single objects must be drawn into one mask per image, with a value for each class.",
    )
