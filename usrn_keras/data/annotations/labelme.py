"""LabelMe: a JSON file of shapes for each image, and the folders that `labelme_json_to_dataset` writes.

Shapes are drawn as LabelMe draws them: with Pillow, outlines included, lines 10 pixels wide and points as
discs with a radius of 5 pixels.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import model_validator

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, Shape
from usrn_keras.data.annotations.bitmaps import decode_png, encode_png
from usrn_keras.data.annotations.json_documents import (
    Label,
    Part,
    Point,
    Side,
    abridged,
    decode_base64,
    validate,
)
from usrn_keras.data.annotations.regions import drawn, placed
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.data.file_index import read_lines
from usrn_keras.errors import DataError

VERSION = "5.4.1"  # of the format that is written
LINE_WIDTH = 10  # pixels, as in LabelMe
POINT_RADIUS = 5

# Number of points of each type of shape: least and most (None: any number).
POINTS = {
    "polygon": (3, None),
    "rectangle": (2, 4),  # two opposite corners, or all four
    "oriented_rectangle": (4, 4),
    "rotation": (4, 4),
    "circle": (2, 2),
    "line": (2, 2),
    "linestrip": (2, None),
    "point": (1, 1),
    "points": (1, None),
    "mask": (2, 2),
}


class LabelMeShape(Part):
    """A shape of a document."""

    label: Label
    points: tuple[Point, ...]
    shape_type: str | None = None
    mask: str | None = None

    @model_validator(mode="after")
    def _is_known(self) -> LabelMeShape:
        kind = self.shape_type or "polygon"
        if kind not in POINTS:
            raise ValueError(f"the shape type {abridged(kind)} is not known; allowed are {', '.join(POINTS)}")
        least, most = POINTS[kind]
        if not least <= len(self.points) <= (most or len(self.points)):
            allowed = f"{least} or more" if most is None else str(least) if least == most else "2 or 4"
            raise ValueError(f"a {kind} must have {allowed} points, received {len(self.points)}")
        if kind == "mask" and not self.mask:
            raise ValueError("a shape of the type mask must have `mask`, a PNG in base64")
        return self


class LabelMeDocument(Part):
    """A LabelMe JSON file."""

    shapes: tuple[LabelMeShape, ...]
    imagePath: str | None = None
    imageHeight: Side | None = None
    imageWidth: Side | None = None


def is_labelme(document: Any) -> bool:
    """Whether a JSON value looks like a LabelMe document."""
    known = {"imagePath", "imageData", "imageHeight", "version"}
    return isinstance(document, dict) and "shapes" in document and not known.isdisjoint(document)


def parse_labelme(documents: Mapping[str, Any], errors: ErrorList) -> AnnotationSet:
    """Parse LabelMe documents.

    Args:
        documents: JSON value of each file, by its path below the source.
        errors: Receives the errors.
    """
    images, thin = [], 0
    for name, value in documents.items():
        document = validate(LabelMeDocument, value, name, errors)
        if document is None:
            continue
        shapes = []
        for index, shape in enumerate(document.shapes):
            kind, where = shape.shape_type or "polygon", f"{name}, shapes[{index}]"
            points = np.array(shape.points, np.float64)
            thin += kind in ("line", "linestrip", "point", "points")
            shapes.append(Shape(shape.label, where, _draw(shape, kind, points, where), _extent(kind, points)))
        size = (document.imageHeight, document.imageWidth)
        # `imagePath` may lead to where the image was on another computer; the JSON has the name of its image.
        names = (document.imagePath, str(Path(name).with_suffix("")))
        images.append(
            AnnotatedImage(tuple(filter(None, names)), name, size if all(size) else None, tuple(shapes))
        )
    notes = (
        f"{thin} lines and points are drawn as LabelMe draws them: {LINE_WIDTH} pixels wide, "
        f"and with a radius of {POINT_RADIUS} pixels",
    )
    return AnnotationSet("LabelMe JSON", tuple(images), notes=notes if thin else ())


def _extent(kind: str, points: np.ndarray) -> np.ndarray:
    """The points that must lie on the image: those of a circle are its centre and a point of its edge."""
    return points[:1] if kind == "circle" else points


def _draw(shape: LabelMeShape, kind: str, points: np.ndarray, where: str) -> Callable[[int, int], np.ndarray]:
    xy = [tuple(point) for point in points.tolist()]
    if kind == "mask":
        return partial(_draw_mask, shape.mask or "", points, where)
    if kind == "circle":
        radius = math.dist(*xy)
        return lambda height, width: drawn(height, width, partial(_disc, centres=xy[:1], radius=radius))
    if kind in ("point", "points"):
        return lambda height, width: drawn(height, width, partial(_disc, centres=xy, radius=POINT_RADIUS))
    if kind in ("line", "linestrip"):
        return lambda height, width: drawn(
            height, width, lambda pencil: pencil.line(xy, fill=1, width=LINE_WIDTH)
        )
    if kind == "rectangle" and len(xy) == 2:
        corners = [*points.min(axis=0), *points.max(axis=0)]
        return lambda height, width: drawn(
            height, width, lambda pencil: pencil.rectangle(corners, outline=1, fill=1)
        )
    return lambda height, width: drawn(height, width, lambda pencil: pencil.polygon(xy, outline=1, fill=1))


def _disc(pencil: Any, centres: Sequence[tuple[float, float]], radius: float) -> None:
    for x, y in centres:
        pencil.ellipse([x - radius, y - radius, x + radius, y + radius], outline=1, fill=1)


def _draw_mask(text: str, points: np.ndarray, where: str, height: int, width: int) -> np.ndarray:
    (left, top), (right, bottom) = points.min(axis=0).astype(int), points.max(axis=0).astype(int)
    size = (int(bottom - top + 1), int(right - left + 1))
    try:
        bitmap = decode_png(decode_base64(text), size)
    except ValueError as error:
        raise DataError(f"{where}.mask: {error}") from error
    return placed(bitmap, int(left), int(top), height, width)


def labelme_document(
    image: str, labels: np.ndarray, names: Mapping[int, str], version: str = VERSION
) -> dict[str, Any]:
    """Build the LabelMe document of an image: one shape of the type mask for each label, exact to the pixel.

    Args:
        image: Path of the image file, relative to the JSON file.
        labels: Label ids, `(height, width)`.
        names: Name of each id to write; other ids are left out.
        version: Version of the format.
    """
    shapes = []
    for value, name in names.items():
        mask = labels == value
        if not mask.any():
            continue
        left, top, wide, high = cv2.boundingRect(mask.astype(np.uint8))
        png = encode_png(mask[top : top + high, left : left + wide])
        shapes.append(
            {
                "label": name,
                "points": [[float(left), float(top)], [float(left + wide - 1), float(top + high - 1)]],
                "group_id": None,
                "description": "",
                "shape_type": "mask",
                "flags": {},
                "mask": base64.b64encode(png).decode(),
            }
        )
    height, width = labels.shape
    return {
        "version": version,
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }


def read_dataset_folders(root: Path, folders: Sequence[Path], errors: ErrorList) -> AnnotationSet:
    """Read the folders of `labelme_json_to_dataset`: `label.png`, with names in `label_names.txt`.

    Line N of `label_names.txt` is the name of the value N, which differs from image to image.

    Args:
        root: Folder of the source.
        folders: Folders that contain `label.png`.
        errors: Receives the errors.
    """
    names = {}
    for folder in folders:
        try:
            names[folder] = [line for line in read_lines(folder / "label_names.txt") if line]
        except DataError as error:
            errors.add(error.message)
    labels = tuple(sorted({label for found in names.values() for label in found}))
    images = []
    for folder, own in names.items():
        shown = folder.relative_to(root).as_posix()
        read = partial(_read_label_png, folder / "label.png", f"{shown}/label.png", own, labels)
        stems = (f"{shown}/img.png", shown.removesuffix("_json"))
        images.append(AnnotatedImage(stems, f"{shown}/label.png", read_labels=read))
    drawn_files = [
        (folder / name).relative_to(root).as_posix()
        for folder in names
        for name in ("label.png", "label_viz.png")
    ]
    return AnnotationSet(
        "LabelMe folders with label.png",
        tuple(images),
        labels,
        ignored=frozenset({"__ignore__"}),
        complete=True,
        masks=tuple(drawn_files),
    )


def _read_label_png(path: Path, shown: str, own: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    values = read_raw(path).values
    if values.ndim != 2:
        raise DataError(f"{shown} contains colours; it must contain ids, palette indices of label_names.txt")
    if values.max() >= len(own):
        raise DataError(
            f"{shown} contains the value {values.max()}; allowed are 0 to {len(own) - 1}, the lines of "
            "label_names.txt"
        )
    table = np.array([labels.index(label) for label in own], np.int64)
    return table[values]
