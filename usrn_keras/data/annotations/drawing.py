"""Draw the shapes of an annotated image as a mask of class ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, Shape
from usrn_keras.data.annotations.class_ids import UNKNOWN, ClassIds
from usrn_keras.errors import DataError

TOLERANCE = 1.0  # pixels that an outline may reach beyond the image before it is reported


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """The mask of an image, and what happened when it was drawn.

    Args:
        mask: Class ids, 255 where a pixel has no class, `(height, width)` uint8.
        overlapping: Number of pixels that a shape of another class covered before.
        unlabelled: Number of pixels of no shape.
        clipped: Number of shapes that reached beyond the image.
        empty: Places of shapes that cover no pixel.
    """

    mask: np.ndarray
    overlapping: int = 0
    unlabelled: int = 0
    clipped: int = 0
    empty: tuple[str, ...] = ()


def draw_mask(
    image: AnnotatedImage, ids: ClassIds, labels: tuple[str, ...], size: tuple[int, int]
) -> DrawnMask:
    """Draw an annotated image; a later shape covers an earlier one.

    Args:
        image: Annotation.
        ids: Classes.
        labels: Labels that a map of labels refers to.
        size: Height and width of the image file.

    Raises:
        DataError: The annotation has another size than the image, or shapes are damaged or outside the
            image; the error lists all of them.
    """
    if image.size is not None:
        _check_size(image, image.size, size)
    if image.read_labels is not None:
        return _draw_labels(image, ids, labels, size)
    mask = np.full(size, ids.unlabelled, np.uint8)
    covered = np.zeros(size, bool)
    overlapping, clipped = 0, 0
    empty, errors = [], []
    for shape in image.shapes:
        try:
            clipped += _check_points(shape, size)
            region = shape.draw(*size)
        except DataError as error:
            errors.append(error.message)
            continue
        value = ids.of_label[shape.label]
        overlapping += int((region & covered & (mask != value)).sum())
        mask[region] = value
        covered |= region
        if not region.any():
            empty.append(shape.place)
    if errors:
        raise DataError(f"{image.place} cannot be drawn", errors=errors)
    return DrawnMask(mask, overlapping, int((~covered).sum()), clipped, tuple(empty))


def _draw_labels(
    image: AnnotatedImage, ids: ClassIds, labels: tuple[str, ...], size: tuple[int, int]
) -> DrawnMask:
    found = image.read_labels()
    _check_size(image, found.shape, size)
    table = np.array([*(ids.of_label[label] for label in labels), ids.unlabelled], np.int64)
    mask = table[found]
    if (mask == UNKNOWN).any():
        shown = sorted(labels[index] for index in np.unique(found[mask == UNKNOWN]).tolist())
        raise DataError(
            f"{image.place} shows the labels {', '.join(shown)}, which --names does not list; allowed are "
            f"{', '.join(ids.classes)}; --ignore excludes a label"
        )
    return DrawnMask(mask.astype(np.uint8), unlabelled=int((found < 0).sum()))


def _check_size(image: AnnotatedImage, annotated: tuple[int, int], size: tuple[int, int]) -> None:
    if tuple(annotated) == size:
        return
    hint = (
        "; the photo carries an EXIF rotation that the annotation does not follow"
        if tuple(annotated) == size[::-1]
        else ""
    )
    raise DataError(
        f"{image.place} is for an image of {annotated[1]}x{annotated[0]} pixels; its image has "
        f"{size[1]}x{size[0]}{hint}"
    )


def _check_points(shape: Shape, size: tuple[int, int]) -> bool:
    """Whether a shape reaches beyond the image.

    Raises:
        DataError: It does not touch the image, or a point is farther outside than the image is large.
    """
    if shape.points is None:
        return False
    height, width = size
    limits = np.array([width, height], np.float64)
    points = shape.points * limits if shape.in_shares else shape.points
    low, high = points.min(axis=0), points.max(axis=0)
    far = ((points < -limits) | (points > 2 * limits)).any(axis=1)
    if far.any() or (high < 0).any() or (low > limits).any():
        x, y = points[far.argmax()]
        raise DataError(
            f"{shape.place}: the point {x:g}, {y:g} lies outside the image of {width}x{height} pixels; "
            f"allowed are x 0 to {width} and y 0 to {height}"
        )
    return bool((low < -TOLERANCE).any() or (high > limits + TOLERANCE).any())
