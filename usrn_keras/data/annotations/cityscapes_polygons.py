"""Cityscapes: `*_gtFine_polygons.json`, drawn as cityscapesScripts draws them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from usrn_keras.data.annotations.annotation_set import IGNORED_LABELS, AnnotatedImage, AnnotationSet, Shape
from usrn_keras.data.annotations.json_documents import Label, Part, Point, Side, validate
from usrn_keras.data.annotations.regions import drawn
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.formats.cityscapes import TABLE

ENDINGS = ("_gtFine_polygons", "_gtCoarse_polygons")
GROUP = "group"  # `cargroup` is a group of cars that nobody separated
# Labels that the benchmark does not evaluate.
NOT_EVALUATED = frozenset({
    "unlabeled", "ego vehicle", "rectification border", "out of roi", "static", "dynamic", "ground",
    "parking", "rail track", "guard rail", "bridge", "tunnel", "polegroup", "caravan", "trailer",
    "license plate",
})  # fmt: skip


class CityscapesObject(Part):
    """A polygon of a document."""

    label: Label
    polygon: Annotated[tuple[Point, ...], Field(min_length=3)]
    deleted: bool | int = False


class CityscapesDocument(Part):
    """A file of polygons."""

    imgHeight: Side
    imgWidth: Side
    objects: tuple[CityscapesObject, ...]


def is_cityscapes(document: Any) -> bool:
    """Whether a JSON value looks like a file of Cityscapes polygons."""
    return isinstance(document, dict) and {"imgHeight", "imgWidth", "objects"} <= document.keys()


def parse_cityscapes(documents: Mapping[str, Any], errors: ErrorList) -> AnnotationSet:
    """Parse Cityscapes polygons. Labels of Cityscapes have its 19 classes; others are classes of their own.

    Args:
        documents: JSON value of each file, by its path below the source.
        errors: Receives the errors.
    """
    images, used = [], set()
    for name, value in documents.items():
        document = validate(CityscapesDocument, value, name, errors)
        if document is None:
            continue
        shapes = []
        for index, found in enumerate(document.objects):
            if not found.deleted:
                label = _without_group(found.label)
                xy = [tuple(point) for point in found.polygon]
                place = f"{name}, objects[{index}]"
                shapes.append(Shape(label, place, partial(_draw, xy), np.array(xy, np.float64)))
        used |= {shape.label for shape in shapes}
        size = (document.imgHeight, document.imgWidth)
        images.append(AnnotatedImage(_names(name), name, size, tuple(shapes)))
    official = tuple(label for label, _, _ in TABLE)
    others = sorted(used - set(official) - NOT_EVALUATED)
    left_out = sorted(used & NOT_EVALUATED)
    note = f"labels that Cityscapes does not evaluate are ignored: {', '.join(left_out)}"
    return AnnotationSet(
        "Cityscapes polygons",
        tuple(images),
        (*official, *others),
        {label: colour for label, colour, _ in TABLE},
        ignored=IGNORED_LABELS | NOT_EVALUATED,
        unlabelled="ignore",
        notes=(note,) if left_out else (),
    )


def _without_group(label: str) -> str:
    known = NOT_EVALUATED | {label for label, _, _ in TABLE}
    single = label.removesuffix(GROUP)
    return single if label not in known and single in known else label


def _names(name: str) -> tuple[str, ...]:
    path = PurePosixPath(name)
    stem = path.stem
    for ending in ENDINGS:
        stem = stem.removesuffix(ending)
    return (f"{path.parent}/{stem}_leftImg8bit", f"{path.parent}/{stem}")


def _draw(xy: list[tuple[float, float]], height: int, width: int) -> np.ndarray:
    return drawn(height, width, lambda pencil: pencil.polygon(xy, fill=1))
