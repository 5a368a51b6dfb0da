"""Explain suspicious masks: different EXIF rotation, stretched ids, smoothed borders, JPEG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from usrn_keras.data.decoding.file_facts import read_facts
from usrn_keras.data.decoding.mask_files import RawMask
from usrn_keras.data.decoding.orientation import SIDEWAYS
from usrn_keras.data.masks import MaskRules


def turned_apart(image: Path, mask: Path) -> str:
    """Describe the EXIF orientations of image and mask if they differ; otherwise empty."""
    orientations = read_facts(image).orientation, read_facts(mask).orientation
    if orientations[0] == orientations[1]:
        return ""
    return "EXIF orientation {} of the image, {} of the mask; 1 is upright".format(*orientations)


def perhaps_turned_apart(image: Path, mask: Path, size: tuple[int, int]) -> str:
    """Describe differing EXIF orientations of an image and a mask of equal size; empty if the mask is right.

    A mask drawn on the rotated image needs no EXIF tag. For a rotation by 90 degrees equal sizes prove that,
    unless the image is square; for mirrored or upside-down images they do not.
    """
    height, width = size
    if height != width and read_facts(image).orientation in SIDEWAYS:
        return ""
    return turned_apart(image, mask)


MIN_STEP = 8  # between two stretched ids
MIN_UNKNOWN = 3  # unknown values; fewer may be a class of thin lines
INSIDE_AT_MOST = 0.05  # share of their pixels that are surrounded by their own value
BETWEEN_AT_MOST = 0.15  # CamVid: 0.03, nearest pixel of an eighth 0.08, resized bilinearly 0.30
ONE_CLASS = 0.9  # minimum share of one id among those in between for it to be an outline class
MIN_BORDERS = 64  # pairs of differing neighbours below which the share is not meaningful


def explain_values(raw: RawMask, rules: MaskRules) -> str:
    """Explain unknown values of a grey mask and how to fix them; empty if the cause is unknown."""
    values = raw.values
    if values.ndim == 3 or rules.colour_map is not None:
        return ""  # the read error already explains colours
    found = np.unique(values)
    unknown = found[~np.isin(found, _allowed(rules))]
    if ids := stretched_ids(found, rules.num_classes or 0):
        return _stretched(ids, rules)
    is_unknown = np.isin(values, unknown)
    inside = np.count_nonzero(_inside(values) & is_unknown)
    if len(unknown) >= MIN_UNKNOWN and inside <= INSIDE_AT_MOST * np.count_nonzero(is_unknown):
        return (
            "These values occur only along borders: the mask was smoothed (anti-aliased), resized with "
            "interpolation, or saved as JPEG. Create it again from the annotation, with nearest-neighbour "
            "resizing."
        )
    return ""


def _stretched(ids: tuple[int, ...], rules: MaskRules) -> str:
    cause = f"The values look like ids stretched over 0 to {ids[-1]}"
    of_classes = list(ids[: rules.num_classes])  # one more may be the ignored value
    if len(of_classes) != rules.num_classes:
        return f"{cause}: set data.mask_ids to the value of each class."
    free = " and data.ignore_index to another value or -1" if rules.ignore_index in of_classes else ""
    return f"{cause}: if they are the classes in this order, set data.mask_ids = {of_classes}{free}."


def stretched_ids(found: np.ndarray, num_classes: int) -> tuple[int, ...]:
    """Return the values that ids 0, 1, 2, ... were stretched to if they explain all values, otherwise ().

    Example:

    >>> stretched_ids(np.array([0, 170, 255]), num_classes=4)
    (0, 85, 170, 255)
    """
    top = 255 if found[-1] <= 255 else 65535
    for last in (num_classes - 1, num_classes, 1, 3, 15):  # 1, 3 and 15: of 1, 2 and 4 bits
        if not 0 < MIN_STEP * last <= top:
            continue  # with small steps any values would match
        steps = np.arange(last + 1) * top
        for ids in (steps // last, (2 * steps + last) // (2 * last)):
            if np.isin(found, ids).all() and found[-1] > max(last, num_classes - 1):
                return tuple(ids.tolist())
    return ()


def between_share(ids: np.ndarray) -> float:
    """Compute the share of borders with an id between those of both sides.

    Interpolation between ids 0 and 5 creates pixels of id 3: an allowed id, but a wrong class. Correct masks
    have such pixels only where a class is one pixel wide. If nearly all of them belong to one class, such as
    the outline of cells, they are not counted.

    Args:
        ids: Class ids, integers of shape `(height, width)`.

    Returns:
        Share from 0 to about 1; 0 with too few borders.
    """
    ids = ids.astype(np.int32, copy=False)
    values, borders = [], 0
    for lines in (ids, ids.T):
        step = np.sign(np.diff(lines, axis=1))
        borders += np.count_nonzero(step)
        values.append(lines[:, 1:-1][step[:, 1:] * step[:, :-1] > 0])
    counts = np.bincount(np.concatenate(values))
    one_class = counts.sum() and counts.max() > ONE_CLASS * counts.sum()
    return 0.0 if one_class or borders < MIN_BORDERS else float(counts.sum() / borders)


def _allowed(rules: MaskRules) -> np.ndarray:
    if rules.id_map is not None:
        return np.flatnonzero(rules.id_map >= 0)
    return np.array([*range(rules.num_classes or 0), rules.ignore_index])


def _inside(values: np.ndarray) -> np.ndarray:
    """Find pixels whose four neighbours have the same value, bool of shape `(height, width)`."""
    padded = np.pad(values, 1, mode="edge")
    neighbours = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    return np.logical_and.reduce([neighbour == values for neighbour in neighbours])
