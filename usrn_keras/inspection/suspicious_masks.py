"""Why a mask looks wrong: rotated by EXIF unlike its image, stretched ids, smoothed borders, JPEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.decode import open_with_pillow
from usrn_keras.data.images import SIDEWAYS, orientation_of
from usrn_keras.data.mask_files import RawMask
from usrn_keras.data.masks import MaskRules


def exif_orientation(path: Path) -> int:
    """The EXIF orientation of a readable file, 1 (upright) to 8; 1 where it has none that can be read."""
    with open(path, "rb") as file, open_with_pillow(path, file) as opened:
        return orientation_of(opened, file)


def turned_apart(image: Path, mask: Path) -> str:
    """How image and mask are turned, if EXIF turns them differently; else empty."""
    orientations = exif_orientation(image), exif_orientation(mask)
    if orientations[0] == orientations[1]:
        return ""
    return "EXIF orientation {} of the image, {} of the mask; 1 is upright".format(*orientations)


def perhaps_turned_apart(image: Path, mask: Path, size: tuple[int, int]) -> str:
    """The same for image and mask that are of one size all the same, where that proves nothing.

    A mask that was drawn on the turned image needs no EXIF. For a rotation by 90 degrees the size shows
    whether it was, unless it is square; for mirrored or upside-down images nothing does.
    """
    height, width = size
    if height != width and exif_orientation(image) in SIDEWAYS:
        return ""
    return turned_apart(image, mask)


LEAST_STEP = 8  # between two ids that were stretched
SEVERAL = 3  # values between others; fewer may be a class of thin lines
INSIDE_AT_MOST = 0.05  # share of their pixels that are surrounded by their own value
BETWEEN_AT_MOST = 0.15  # CamVid: 0.03, nearest pixel of an eighth 0.08, resized bilinearly 0.30
ONE_CLASS = 0.9  # share of one id among those in between above which it is an outline
FEWEST_BORDERS = 64  # pairs of neighbours that differ; with fewer the share says nothing


def explain_values(raw: RawMask, rules: MaskRules) -> str:
    """Why a grey mask holds values that are no class, and what to do; empty where no reason is recognised."""
    values = raw.values
    if values.ndim == 3 or rules.colour_map is not None:
        return ""  # the error of reading it says what there is to say of colours
    found = np.unique(values)
    unknown = found[~np.isin(found, _allowed(rules))]
    if ids := stretched_ids(found, rules.num_classes or 0):
        return _stretched(ids, rules)
    is_unknown = np.isin(values, unknown)
    inside = np.count_nonzero(_inside(values) & is_unknown)
    if len(unknown) >= SEVERAL and inside <= INSIDE_AT_MOST * np.count_nonzero(is_unknown):
        return (
            "These values occur only along borders: the mask was smoothed (anti-aliased), resized with "
            "interpolation, or saved as JPEG. Make it anew from the annotation, resized by the nearest pixel."
        )
    return ""


def _stretched(ids: tuple[int, ...], rules: MaskRules) -> str:
    cause = f"The values look like ids stretched over 0 to {ids[-1]}"
    of_classes = list(ids[: rules.num_classes])  # one more may stand for what is ignored
    if len(of_classes) != rules.num_classes:
        return f"{cause}: name the value of each class in data.mask_ids."
    free = " and data.ignore_index to another value or -1" if rules.ignore_index in of_classes else ""
    return f"{cause}: if they are the classes in this order, set data.mask_ids = {of_classes}{free}."


def stretched_ids(found: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """The values that ids 0, 1, 2, ... were stretched to, if all values found are such; else ().

    Example:

    >>> stretched_ids(np.array([0, 170, 255]), num_classes=4)
    (0, 85, 170, 255)
    """
    top = 255 if found[-1] <= 255 else 65535
    for last in (num_classes - 1, num_classes, 1, 3, 15):  # 1, 3 and 15: of 1, 2 and 4 bits
        if not 0 < LEAST_STEP * last <= top:
            continue  # of narrow steps, any values would be some
        steps = np.arange(last + 1) * top
        for ids in (steps // last, (2 * steps + last) // (2 * last)):
            if np.isin(found, ids).all() and found[-1] > max(last, num_classes - 1):
                return tuple(ids.tolist())
    return ()


def between_share(ids: np.ndarray) -> float:
    """Share of the borders that pass through an id between those of both sides.

    A pixel between 0 and 5 that is 3 is what interpolation leaves: an allowed id, and a wrong class.
    Sound masks have such pixels only where a class is one pixel wide; where that is one class alone,
    such as the outline of cells, it does not count.

    Args:
        ids: `(height, width)` class ids.

    Returns:
        0 to about 1; 0 where there are too few borders to tell.
    """
    ids = ids.astype(np.int32, copy=False)
    values, borders = [], 0
    for lines in (ids, ids.T):
        step = np.sign(np.diff(lines, axis=1))
        borders += np.count_nonzero(step)
        values.append(lines[:, 1:-1][step[:, 1:] * step[:, :-1] > 0])
    counts = np.bincount(np.concatenate(values))
    one_class = counts.sum() and counts.max() > ONE_CLASS * counts.sum()
    return 0.0 if one_class or borders < FEWEST_BORDERS else float(counts.sum() / borders)


def _allowed(rules: MaskRules) -> np.ndarray:
    if rules.id_map is not None:
        return np.flatnonzero(rules.id_map >= 0)
    return np.array([*range(rules.num_classes or 0), rules.ignore_index])


def _inside(values: np.ndarray) -> np.ndarray:
    """Pixels whose four neighbours are of the same value, `(height, width)` bool."""
    padded = np.pad(values, 1, mode="edge")
    neighbours = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.logical_and.reduce([neighbour == values for neighbour in neighbours])
