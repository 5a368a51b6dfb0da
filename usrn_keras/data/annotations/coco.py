"""COCO `instances` JSON: polygons and run lengths, compressed or not; also as Roboflow exports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, Shape
from usrn_keras.data.annotations.json_documents import Label, Part, Side, abridged, validate
from usrn_keras.data.annotations.regions import inside_polygon
from usrn_keras.data.annotations.run_lengths import decode_counts, encode_counts, parse_counts
from usrn_keras.data.dataset import ErrorList
from usrn_keras.errors import DataError

SHOWN = 8
Id = int | str


class CocoImage(Part):
    """An entry of `images`."""

    id: Id
    file_name: Label
    height: Side
    width: Side
    extra: dict[str, Any] = Field(default_factory=dict)


class CocoRunLengths(Part):
    """A segmentation in run lengths."""

    size: tuple[Side, Side]
    counts: str | tuple[int, ...]


class CocoAnnotation(Part):
    """An entry of `annotations`."""

    id: Id | None = None
    image_id: Id
    category_id: int
    segmentation: Any = None
    iscrowd: Annotated[int, Field(ge=0, le=1)] = 0
    segments_info: Any = None


class CocoCategory(Part):
    """An entry of `categories`."""

    id: int
    name: Label
    supercategory: str | None = None


class CocoDocument(Part):
    """A COCO JSON file."""

    images: tuple[CocoImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    categories: Annotated[tuple[CocoCategory, ...], Field(min_length=1)]


def is_coco(document: Any) -> bool:
    """Whether a JSON value looks like a COCO document."""
    return isinstance(document, dict) and {"images", "annotations", "categories"} <= document.keys()


def parse_coco(documents: Mapping[str, Any], errors: ErrorList) -> AnnotationSet:
    """Parse COCO documents; several, such as those of train and valid, must have the same categories.

    Args:
        documents: JSON value of each file, by its path below the source.
        errors: Receives the errors.
    """
    images: list[AnnotatedImage] = []
    notes: list[str] = []
    labels: dict[str, None] = {}
    for name, value in documents.items():
        if isinstance(value, dict) and any("segments_info" in a for a in _objects(value.get("annotations"))):
            errors.add(
                f"{name} is COCO panoptic JSON, whose masks are separate PNG files; export `instances` "
                "JSON instead"
            )
            continue
        document = validate(CocoDocument, value, name, errors)
        if document is None:
            continue
        categories = _categories(document, notes)
        labels |= dict.fromkeys(categories.values())
        images += _images(document, categories, name, errors, notes)
    return AnnotationSet("COCO JSON", tuple(images), tuple(labels), notes=tuple(dict.fromkeys(notes)))


def _objects(value: Any) -> list[dict]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _categories(document: CocoDocument, notes: list[str]) -> dict[int, str]:
    """Name of each category id, ascending; without the category 0 that Roboflow adds for all others."""
    categories = {entry.id: entry.name for entry in sorted(document.categories, key=lambda entry: entry.id)}
    used = {annotation.category_id for annotation in document.annotations}
    groups = {entry.supercategory for entry in document.categories if entry.id}
    if 0 in categories and 0 not in used and len(categories) > 1 and categories[0] in groups:
        notes.append(f"the category 0, `{categories[0]}`, is the group of the others, and not a class")
        del categories[0]
    return categories


def _images(
    document: CocoDocument, categories: Mapping[int, str], name: str, errors: ErrorList, notes: list[str]
) -> list[AnnotatedImage]:
    entries = _entries(document, name, errors, notes)
    shapes: dict[str, list[Shape]] = {image.file_name: [] for image in entries.values()}
    boxes = []
    for index, annotation in enumerate(document.annotations):
        where = f"{name}, annotations[{index}]"
        if annotation.image_id not in entries:
            errors.add(f"{where}.image_id: {annotation.image_id!r} is the id of no entry of `images`")
        elif annotation.category_id not in categories:
            errors.add(
                f"{where}.category_id: {annotation.category_id} is the id of no category; allowed are "
                + _listed([f"{key} {label}" for key, label in categories.items()])
            )
        elif annotation.segmentation in (None, []):
            boxes.append(where)
        else:
            image = entries[annotation.image_id]
            label, place = categories[annotation.category_id], f"{where}.segmentation"
            shapes[image.file_name] += _shapes(annotation.segmentation, label, image, place, errors)
    if boxes:
        errors.add(
            f"{name}: {len(boxes)} annotations have no `segmentation`, such as {boxes[0]}: a box is not a "
            "mask; allowed are polygons and run lengths"
        )
    crowds = sum(annotation.iscrowd for annotation in document.annotations)
    if crowds:
        notes.append(f"{crowds} crowd regions (`iscrowd`) are drawn as their class")
    bare = sum(not found for found in shapes.values())
    if bare:
        notes.append(
            f"{bare} images without a shape are not annotated; COCO does not tell them from empty images"
        )
    first = {image.file_name: image for image in reversed(entries.values())}
    return [
        AnnotatedImage(_names(first[file], name), f"{name}, {file}", _size(first[file]), tuple(found))
        for file, found in shapes.items()
        if found
    ]


def _entries(document: CocoDocument, name: str, errors: ErrorList, notes: list[str]) -> dict[Id, CocoImage]:
    """Images by id. Several entries of one file are one image: an annotation is one object, not an image."""
    entries: dict[Id, CocoImage] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for index, image in enumerate(document.images):
        place = f"{name}, images[{index}]"
        if image.id in entries and image.file_name != entries[image.id].file_name:
            errors.add(f"{place}.id: {image.id!r} is also the id of {entries[image.id].file_name}")
        if _size(image) != sizes.setdefault(image.file_name, _size(image)):
            errors.add(
                f"{place}: {image.file_name} has two sizes, {sizes[image.file_name]} and {_size(image)}"
            )
        entries[image.id] = image
    if twice := len(document.images) - len(sizes):
        notes.append(f"{twice} entries of `images` repeat a file name; the shapes of all entries are drawn")
    return entries


def _names(image: CocoImage, name: str) -> tuple[str, ...]:
    """Possible paths: relative to the JSON file, as written, and the original name that Roboflow keeps."""
    beside = (PurePosixPath(name).parent / image.file_name.replace("\\", "/")).as_posix()
    original = image.extra.get("name")
    return (beside, image.file_name, *([original] if isinstance(original, str) and original else []))


def _size(image: CocoImage) -> tuple[int, int]:
    return image.height, image.width


def _shapes(segmentation: Any, label: str, image: CocoImage, where: str, errors: ErrorList) -> list[Shape]:
    if isinstance(segmentation, dict):
        found = validate(CocoRunLengths, segmentation, where, errors)
        if found is None:
            return []
        if found.size != _size(image):
            errors.add(
                f"{where}.size: {list(found.size)} must be the height and width of {image.file_name}, "
                f"{list(_size(image))}"
            )
            return []
        return [Shape(label, where, partial(_draw_counts, found.counts, where))]
    polygons = segmentation if isinstance(segmentation, list) else []
    if not polygons or not all(_is_polygon(polygon) for polygon in polygons):
        errors.add(
            f"{where}: must be polygons, lists of 3 or more points x, y, or run lengths "
            f'{{"size": [height, width], "counts": ...}}; received {abridged(segmentation)}'
        )
        return []
    points = [np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons]
    return [Shape(label, where, partial(_draw_polygons, points), np.concatenate(points))]


def _is_polygon(value: Any) -> bool:
    numbers = isinstance(value, list) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 2**40 for v in value
    )
    return numbers and len(value) >= 6 and len(value) % 2 == 0


def _draw_polygons(polygons: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    return np.logical_or.reduce([inside_polygon(points, height, width) for points in polygons])


def _draw_counts(counts: str | Sequence[int], where: str, height: int, width: int) -> np.ndarray:
    try:
        lengths = parse_counts(counts) if isinstance(counts, str) else counts
        return decode_counts(lengths, height, width)
    except ValueError as error:
        raise DataError(f"{where}.counts: {error}") from error


def _listed(values: Any) -> str:
    values = list(values)
    more = f", ... ({len(values) - SHOWN} more)" if len(values) > SHOWN else ""
    return ", ".join(values[:SHOWN]) + more


def coco_annotations(
    image_id: int, labels: np.ndarray, names: Mapping[int, str], first_id: int
) -> list[dict[str, Any]]:
    """Build the COCO annotations of an image: uncompressed run lengths of each label, exact to the pixel.

    The category id of a label is its id plus 1.

    Args:
        image_id: Id of the image.
        labels: Label ids, `(height, width)`.
        names: Name of each id to write; other ids are left out.
        first_id: Id of the first annotation.
    """
    found = []
    for value in names:
        mask = labels == value
        if not mask.any():
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        found.append(
            {
                "id": first_id + len(found),
                "image_id": image_id,
                "category_id": int(value) + 1,
                "segmentation": {"size": list(mask.shape), "counts": encode_counts(mask)},
                "area": int(mask.sum()),
                "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
                "iscrowd": 1,  # readers of COCO expect run lengths of crowd regions, and polygons of others
            }
        )
    return found
