"""Supervisely: meta.json with the classes, and `DATASET/ann/IMAGE.json` with polygons and bitmaps."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import cv2
import numpy as np
from pydantic import Field

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, Shape
from usrn_keras.data.annotations.bitmaps import decode_png
from usrn_keras.data.annotations.json_documents import (
    Label,
    Part,
    Point,
    Side,
    abridged,
    decode_base64,
    read_document,
    validate,
)
from usrn_keras.data.annotations.regions import placed
from usrn_keras.data.dataset import ErrorList
from usrn_keras.errors import DataError

META = "meta.json"
ANNOTATIONS = "ann"  # folder beside `img`
MAX_BITMAP = 2**26  # bytes of an unpacked PNG


class SuperviselyClass(Part):
    """A class of meta.json."""

    title: Label
    color: Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")] | None = None


class SuperviselyMeta(Part):
    """meta.json."""

    classes: tuple[SuperviselyClass, ...]


class SuperviselyPoints(Part):
    """Outline and holes."""

    exterior: tuple[Point, ...] = ()
    interior: tuple[tuple[Point, ...], ...] = ()


class SuperviselyBitmap(Part):
    """A bitmap: base64 of a compressed PNG, placed at `origin`."""

    data: str
    origin: tuple[int, int]


class SuperviselyObject(Part):
    """A labelled object."""

    classTitle: Label
    geometryType: str = "polygon"
    points: SuperviselyPoints = SuperviselyPoints()
    bitmap: SuperviselyBitmap | None = None


class SuperviselyImageSize(Part):
    """Size of the image."""

    height: Side
    width: Side


class SuperviselyDocument(Part):
    """The annotation of one image."""

    size: SuperviselyImageSize
    objects: tuple[SuperviselyObject, ...]


# Least number of points of each geometry that is drawn from points.
GEOMETRIES = {"polygon": 3, "rectangle": 2, "line": 2, "point": 1, "bitmap": 0}


def is_supervisely(root: Path) -> bool:
    """Whether a folder is a project of Supervisely."""
    return (root / META).is_file() and any(path.is_dir() for path in root.rglob(ANNOTATIONS))


def is_supervisely_document(document: Any) -> bool:
    """Whether a JSON value looks like the annotation of an image."""
    return isinstance(document, dict) and {"size", "objects"} <= document.keys()


def read_meta(root: Path, errors: ErrorList) -> SuperviselyMeta | None:
    """Read meta.json."""
    return validate(SuperviselyMeta, read_document(root / META, META, errors), META, errors)


def parse_supervisely(
    documents: Mapping[str, Any], meta: SuperviselyMeta | None, errors: ErrorList
) -> AnnotationSet:
    """Parse the annotations of a project.

    Args:
        documents: JSON value of each annotation, by its path below the source.
        meta: Content of meta.json; None if it is missing.
        errors: Receives the errors.
    """
    titles = [entry.title for entry in meta.classes] if meta else []
    images = []
    for name, value in documents.items():
        document = validate(SuperviselyDocument, value, name, errors)
        if document is None:
            continue
        shapes = []
        for index, found in enumerate(document.objects):
            place = f"{name}, objects[{index}]"
            if titles and found.classTitle not in titles:
                errors.add(
                    f"{place}.classTitle: `{found.classTitle}` is not in {META}; allowed are "
                    + ", ".join(titles)
                )
            elif problem := _problem(found):
                errors.add(f"{place}{problem}")
            else:
                shapes.append(_shape(found, place))
        path = PurePosixPath(name)
        stem = path.name.removesuffix(".json")
        folder = path.parent.parent if path.parent.name == ANNOTATIONS else path.parent
        names = (f"{folder}/img/{stem}", f"{folder}/{stem}", stem)
        size = (document.size.height, document.size.width)
        images.append(AnnotatedImage(names, name, size, tuple(shapes)))
    colours = {e.title: _colour(e.color) for e in (meta.classes if meta else ()) if e.color}
    return AnnotationSet("Supervisely JSON", tuple(images), tuple(titles), colours)


def _colour(text: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(text[1:]))


def _problem(found: SuperviselyObject) -> str:
    kind = found.geometryType
    if kind not in GEOMETRIES:
        return f".geometryType: {abridged(kind)} is not known; allowed are {', '.join(GEOMETRIES)}"
    if kind == "bitmap":
        return ".bitmap: is missing" if found.bitmap is None else ""
    if len(found.points.exterior) < GEOMETRIES[kind]:
        return (
            f".points.exterior: a {kind} must have {GEOMETRIES[kind]} or more points, received "
            f"{len(found.points.exterior)}"
        )
    return ""


def _shape(found: SuperviselyObject, place: str) -> Shape:
    if found.geometryType == "bitmap":
        return Shape(found.classTitle, place, partial(_draw_bitmap, found.bitmap, place))
    exterior = np.array(found.points.exterior, np.float64)
    holes = [np.array(hole, np.float64) for hole in found.points.interior if hole]
    return Shape(found.classTitle, place, partial(_draw, found.geometryType, exterior, holes), exterior)


def _draw(kind: str, exterior: np.ndarray, holes: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Draw as the SDK of Supervisely does, with OpenCV at whole pixels."""
    canvas = np.zeros((height, width), np.uint8)
    points = exterior.round().astype(np.int32)
    if kind == "polygon":
        cv2.fillPoly(canvas, [points], 1)
        if holes:
            cv2.fillPoly(canvas, [hole.round().astype(np.int32) for hole in holes], 0)
    elif kind == "rectangle":
        cv2.rectangle(canvas, points.min(axis=0).tolist(), points.max(axis=0).tolist(), 1, -1)
    elif kind == "line":
        cv2.polylines(canvas, [points], False, 1)
    else:
        cv2.circle(canvas, points[0].tolist(), 0, 1, -1)
    return canvas > 0


def _draw_bitmap(bitmap: SuperviselyBitmap, place: str, height: int, width: int) -> np.ndarray:
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(decode_base64(bitmap.data), MAX_BITMAP)
        if unpacker.unconsumed_tail:
            raise ValueError(f"the bitmap unpacks to more than {MAX_BITMAP:,} bytes")
        mask = decode_png(data, most=height * width)
    except (ValueError, zlib.error) as error:
        raise DataError(f"{place}.bitmap.data: {error}") from error
    left, top = bitmap.origin
    if not (0 <= left <= width - mask.shape[1] and 0 <= top <= height - mask.shape[0]):
        raise DataError(
            f"{place}.bitmap: {mask.shape[1]}x{mask.shape[0]} pixels at {left}, {top} reach beyond the "
            f"image, which has {width}x{height}"
        )
    return placed(mask, left, top, height, width)
