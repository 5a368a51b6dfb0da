"""Annotations of any format: images with labelled shapes, or with a map of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

IGNORED_LABELS = frozenset({"__ignore__"})
BACKGROUND_LABELS = ("background", "_background_", "__background__")
BACKGROUND = "background"


@dataclass(frozen=True, eq=False)
class Shape:
    """A labelled region of an image.

    Args:
        label: Label of the region.
        place: File and place of the shape, for messages.
        draw: Draws the region: from height and width in pixels to `(height, width)` bool. It raises a
            `DataError` if the shape is damaged.
        points: Coordinates x and y of the outline in pixels, `(points, 2)` float; None for a bitmap that
            covers the image.
        in_shares: Whether `points` are shares of width and height instead of pixels.
        in_shares: Whether `points` are shares of width and height instead of pixels.
    """

    label: str
    place: str
    draw: Callable[[int, int], np.ndarray]
    points: np.ndarray | None = None
    in_shares: bool = False


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """The annotation of one image: shapes, or a map of labels.

    Args:
        names: Possible paths of the image file, the most likely one first; folders may be missing.
        place: File (and place in it) of the annotation, for messages.
        size: Height and width according to the annotation; None if it does not say.
        shapes: Labelled regions; a later one covers an earlier one.
        read_labels: Reads a map of labels instead of shapes: indices in `AnnotationSet.labels`,
            `(height, width)` integers, -1 where a pixel has no label.
    """

    names: tuple[str, ...]
    place: str
    size: tuple[int, int] | None = None
    shapes: tuple[Shape, ...] = ()
    read_labels: Callable[[], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """All annotations of a source.

    Args:
        format: Name of the format, such as `LabelMe JSON`.
        images: Annotated images.
        labels: Labels in the order of their ids, as the source declares them; empty if it declares none.
        colours: Colour of a label, as the source declares it, RED GREEN BLUE in 0..255.
        ignored: Labels whose pixels have no class, according to the format.
        unlabelled: What pixels of no shape are, according to the format: `background` or `ignore`.
        complete: Whether every pixel of an annotated image has a label.
        masks: Paths of image files that belong to the source, and are not photographs.
        notes: Facts about the source, one sentence each.
    """

    format: str
    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...] = ()
    colours: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    ignored: frozenset[str] = IGNORED_LABELS
    unlabelled: str = BACKGROUND
    complete: bool = False
    masks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def is_background(label: str) -> bool:
    """Whether a label is one of the usual names of the background."""
    return label.lower() in BACKGROUND_LABELS
