"""Reading every mask and the size of every image once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.data.files.images import image_size
from usrn_keras.data.files.masks import check_size, read_raw
from usrn_keras.data.prefetch import ordered_map
from usrn_keras.errors import DataError
from usrn_keras.machine import usable_cores
from usrn_keras.progress import SILENT, Progress
from usrn_keras.project.value_counts import MaskValues, count_values


@dataclass(frozen=True, eq=False)
class Survey:
    """What the files say.

    Args:
        sizes: Height and width of each readable image, by name.
        masks: What each readable mask holds, by name.
    """

    sizes: dict[str, tuple[int, int]]
    masks: dict[str, MaskValues]


def survey_files(
    images: Mapping[str, Path], masks: Mapping[str, Path], faults: list[str], *, progress: Progress = SILENT
) -> Survey:
    """Look at all files in parallel; what cannot be read or does not fit is added to `faults`.

    Args:
        images: Image file of each name.
        masks: Mask file of each name that has one.
        faults: Grows by a line for each fault.
        progress: Counts images.
    """

    def look(name: str) -> tuple[str, tuple[int, int] | None, MaskValues | None, list[str]]:
        return (name, *_look(images[name], masks.get(name)))

    survey = Survey({}, {})
    workers = min(16, usable_cores())
    with progress.task("reading images and masks", total=len(images)) as task:
        for name, size, mask, found in ordered_map(look, images, workers=workers, ahead=4 * workers):
            faults += found
            if size:
                survey.sizes[name] = size
            if mask:
                survey.masks[name] = mask
            task.advance()
    return survey


def _look(image: Path, mask: Path | None) -> tuple[tuple[int, int] | None, MaskValues | None, list[str]]:
    faults: list[str] = []
    size = values = None
    try:
        size = image_size(image)
    except DataError as error:
        faults.append(error.message)
    if mask is None:
        return size, None, faults
    try:
        raw = read_raw(mask)
        values = count_values(raw)
        if size:
            check_size(image, size, mask, values.size)
    except DataError as error:
        faults.append(f"{error.message}. {error.hint}" if "EXIF" in error.hint else error.message)
    return size, values, faults
