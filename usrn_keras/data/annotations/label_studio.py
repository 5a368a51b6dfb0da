"""Label Studio: JSON and JSON-MIN exports with brush run lengths, polygons, rectangles and ellipses, and
the PNG files of its brush export.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import numpy as np

from usrn_keras.data.annotations.annotation_set import AnnotatedImage, AnnotationSet, Shape
from usrn_keras.data.annotations.json_documents import Label, Number, Part, Point, Side, abridged, validate
from usrn_keras.data.annotations.regions import inside_ellipse, inside_polygon
from usrn_keras.data.annotations.run_lengths import decode_brush, encode_brush
from usrn_keras.data.dataset import ErrorList
from usrn_keras.data.decoding.mask_files import read_raw
from usrn_keras.errors import DataError

PERCENT = 100
LABEL_KEYS = ("brushlabels", "polygonlabels", "rectanglelabels", "ellipselabels", "labels")
GEOMETRY = ("rle", "points", "radiusX", "width")
UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts this before the name of an uploaded file
PNG_NAME = re.compile(
    r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-.*?-(?P<tag>[^-]+)-(?P<label>.+)-\d+"
)


class LabelStudioValue(Part):
    """The geometry of a region, in percent of the image."""

    format: str | None = None
    rle: tuple[int, ...] | None = None
    points: tuple[Point, ...] | None = None
    x: Number | None = None
    y: Number | None = None
    width: Number | None = None
    height: Number | None = None
    radiusX: Number | None = None
    radiusY: Number | None = None
    rotation: Number = 0.0
    brushlabels: tuple[Label, ...] = ()
    polygonlabels: tuple[Label, ...] = ()
    rectanglelabels: tuple[Label, ...] = ()
    ellipselabels: tuple[Label, ...] = ()
    labels: tuple[Label, ...] = ()


class LabelStudioRegion(Part):
    """A region of an annotation."""

    value: LabelStudioValue
    original_width: Side
    original_height: Side


def is_label_studio(document: Any) -> bool:
    """Whether a JSON value looks like tasks of Label Studio, in the format JSON or JSON-MIN."""
    if not isinstance(document, list) or not document:
        return False
    return all(isinstance(task, dict) and (_is_task(task) or _is_min(task)) for task in document)


def _is_task(task: Mapping[str, Any]) -> bool:
    return isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)


def _is_min(task: Mapping[str, Any]) -> bool:
    return "annotation_id" in task or ("id" in task and any(_regions_of(task)))


def _regions_of(task: Mapping[str, Any]) -> list[Any]:
    """Regions of a task in JSON-MIN: entries of its lists that have the size of an image."""
    lists = [value for value in task.values() if isinstance(value, list)]
    return [
        entry for found in lists for entry in found if isinstance(entry, dict) and "original_width" in entry
    ]


def parse_label_studio(documents: Mapping[str, Any], errors: ErrorList) -> AnnotationSet:
    """Parse tasks of Label Studio.

    Args:
        documents: JSON value of each file, by its path below the source.
        errors: Receives the errors.
    """
    images, skipped, cancelled = [], Counter(), 0
    for name, tasks in documents.items():
        for index, task in enumerate(tasks):
            place = f"{name}, [{index}]"
            results, count = _results(task, place, errors)
            cancelled += count
            if results is None:
                continue
            found = [_region(entry, where, skipped, errors) for entry, where in results]
            regions = [entry for entry in found if entry]
            sizes = {size for size, _ in regions}
            if len(sizes) > 1:
                errors.add(f"{place}: the regions are of images of different sizes, {sorted(sizes)}")
                continue
            names = image_names(task)
            if not names:
                errors.add(f"{place}: no field of `data` names an image")
                continue
            images.append(
                AnnotatedImage(names, place, *sizes, shapes=tuple(shape for _, shape in regions))
                if sizes
                else AnnotatedImage(names, place)
            )
    if images and not any(image.shapes for image in images):
        errors.add(
            f"{', '.join(documents)}: no task has a region. If the masks are the PNG files of the brush "
            "export, put them and this file into one folder, and give the folder; otherwise export the "
            "annotations again as JSON"
        )
    notes = [
        f"{count} results of the type {kind} are not regions, and not read" for kind, count in skipped.items()
    ]
    if cancelled:
        notes.append(f"{cancelled} skipped annotations (`was_cancelled`) are not read")
    return AnnotationSet("Label Studio JSON", tuple(images), notes=tuple(notes))


def _results(
    task: Mapping[str, Any], place: str, errors: ErrorList
) -> tuple[list[tuple[Any, str]] | None, int]:
    """The results of the only annotation with their places (or None); and the number of skipped ones."""
    if not _is_task(task):
        return [(_as_region(entry), f"{place}, region {i}") for i, entry in enumerate(_regions_of(task))], 0
    annotations = task.get("annotations", task.get("completions"))
    if not isinstance(annotations, list) or not all(isinstance(entry, dict) for entry in annotations):
        errors.add(f"{place}.annotations: must be a list of annotations; received {abridged(annotations)}")
        return None, 0
    kept = [(i, entry) for i, entry in enumerate(annotations) if not entry.get("was_cancelled")]
    cancelled = len(annotations) - len(kept)
    if len(kept) > 1:
        ids = ", ".join(str(entry.get("id", i)) for i, entry in kept)
        errors.add(
            f"{place}.annotations: {len(kept)} annotations of one image (ids {ids}); allowed is one: delete "
            "the others in Label Studio, or skip them"
        )
    if len(kept) != 1:
        return None, cancelled
    index, annotation = kept[0]
    results = annotation.get("result", [])
    if not isinstance(results, list):
        errors.add(f"{place}.annotations[{index}].result: must be a list; received {abridged(results)}")
        return None, cancelled
    return [(r, f"{place}.annotations[{index}].result[{i}]") for i, r in enumerate(results)], cancelled


def _as_region(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: entry[key] for key in ("original_width", "original_height") if key in entry},
        "value": entry,
    }


def _region(
    entry: Any, place: str, skipped: Counter, errors: ErrorList
) -> tuple[tuple[int, int], Shape] | None:
    value = entry.get("value") if isinstance(entry, dict) else None
    if isinstance(value, dict) and not any(key in value for key in GEOMETRY):
        skipped[entry.get("type", "unknown")] += 1
        return None
    region = validate(LabelStudioRegion, entry, place, errors)
    if region is None:
        return None
    labels = [label for key in LABEL_KEYS for label in getattr(region.value, key)]
    if not labels and isinstance(value, dict) and not any(key in value for key in LABEL_KEYS):
        skipped[f"{entry.get('type', 'unknown')} without a label"] += 1
        return None
    if len(set(labels)) != 1:
        errors.add(f"{place}: a region must have one label, received {labels}")
        return None
    size = (region.original_height, region.original_width)
    try:
        draw, points = _drawing(region.value, size, place)
    except ValueError as error:
        errors.add(f"{place}.value: {error}")
        return None
    return size, Shape(labels[0], place, draw, points)


def _drawing(
    value: LabelStudioValue, size: tuple[int, int], place: str
) -> tuple[Callable[[int, int], np.ndarray], np.ndarray | None]:
    """The function that draws a region, and its points in pixels."""
    scale = np.array([size[1], size[0]]) / PERCENT
    if value.rle is not None:
        return partial(_draw_brush, value.rle, place), None
    if value.points is not None:
        if len(value.points) < 3:
            raise ValueError(f"a polygon must have 3 or more points, received {len(value.points)}")
        points = np.array(value.points) * scale
    elif value.radiusX is not None:
        if None in (value.x, value.y, value.radiusY) or min(value.radiusX, value.radiusY) <= 0:
            raise ValueError("an ellipse must have x, y, and radiusX and radiusY above 0")
        centre = np.array([value.x, value.y]) * scale
        radii = np.array([value.radiusX, value.radiusY]) * scale
        return partial(inside_ellipse, tuple(centre), tuple(radii), value.rotation), centre[None]
    else:
        if None in (value.x, value.y, value.width, value.height):
            raise ValueError("a rectangle must have x, y, width and height")
        sides = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (value.width, value.height) * scale
        angle = np.deg2rad(value.rotation)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        points = np.array([value.x, value.y]) * scale + sides @ turn
    return partial(inside_polygon, points), points


def _draw_brush(data: Sequence[int], place: str, height: int, width: int) -> np.ndarray:
    try:
        return decode_brush(data, height, width)
    except ValueError as error:
        raise DataError(f"{place}.value.rle: {error}") from error


def image_names(task: Mapping[str, Any]) -> tuple[str, ...]:
    """Possible paths of the image of a task: of its address, and without what Label Studio puts before it.

    Example:

    >>> image_names({"data": {"image": "/data/upload/3/1f2e3d4c-street%20a.jpg"}})
    ('data/upload/3/1f2e3d4c-street a.jpg', 'street a.jpg')
    """
    fields = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [fields.get("image"), *fields.values(), task.get("file_upload")]
    names: dict[str, None] = {}
    for text in texts:
        if not isinstance(text, str) or "." not in text:
            continue
        address = urlparse(text)
        local = parse_qs(address.query).get("d", [""])[0]  # /data/local-files/?d=folder/a.jpg
        path = (local or unquote(address.path)).lstrip("/")
        file = path.rpartition("/")[2]
        names |= dict.fromkeys([path] if path else [])
        if UPLOAD.match(file):
            names[UPLOAD.sub("", file)] = None
    return tuple(names)


def label_studio_task(
    number: int, image: str, labels: np.ndarray, names: Mapping[int, str]
) -> dict[str, Any]:
    """Build the task of an image with an annotation: brush run lengths of each label, exact to the pixel.

    Args:
        number: Id of the task.
        image: Path of the image below the folder of images, for local storage (`/data/local-files/?d=`).
        labels: Label ids, `(height, width)`.
        names: Name of each id to write; other ids are left out.
    """
    height, width = labels.shape
    results = []
    for value, name in names.items():
        mask = labels == value
        if mask.any():
            results.append(
                {
                    "id": f"{number}-{value}",
                    "type": "brushlabels",
                    "from_name": "tag",
                    "to_name": "image",
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"format": "rle", "rle": encode_brush(mask), "brushlabels": [name]},
                }
            )
    return {
        "id": number,
        "data": {"image": f"/data/local-files/?d={image}"},
        "annotations": [{"id": number, "result": results}],
    }


def read_brush_pngs(
    root: Path, files: Sequence[Path], tasks: Mapping[int, tuple[str, ...]], errors: ErrorList
) -> AnnotationSet:
    """Read the PNG files of a brush export: `task-ID-annotation-ID-by-USER-TAG-LABEL-NUMBER.png`.

    Args:
        root: Folder of the source.
        files: PNG files, each the mask of one label.
        tasks: Possible image paths of each task id, from the JSON export: the PNG files name no
            image.
        errors: Receives the errors.
    """
    grouped: dict[int, dict[int, list[Shape]]] = {}
    for path in files:
        shown = path.relative_to(root).as_posix()
        found = PNG_NAME.fullmatch(path.stem)
        if found is None:
            errors.add(f"{shown}: the name is not `task-ID-annotation-ID-by-USER-TAG-LABEL-NUMBER.png`")
            continue
        shape = Shape(found["label"], shown, partial(_draw_png, path, shown))
        annotations = grouped.setdefault(int(found["task"]), {})
        annotations.setdefault(int(found["annotation"]), []).append(shape)
    images = []
    for task, annotations in grouped.items():
        first = next(iter(annotations.values()))[0].place
        if task not in tasks:
            errors.add(
                f"{first}: the image of the task {task} is not known: put the JSON export of the project "
                "into the folder, or import the JSON export itself"
            )
        elif len(annotations) > 1:
            errors.add(f"{first}: the task {task} has {len(annotations)} annotations; allowed is one")
        else:
            (shapes,) = annotations.values()
            images.append(AnnotatedImage(tasks[task], first, shapes=tuple(shapes)))
    masks = tuple(path.relative_to(root).as_posix() for path in files)
    return AnnotationSet("Label Studio PNG", tuple(images), masks=masks)


def _draw_png(path: Path, shown: str, height: int, width: int) -> np.ndarray:
    values = read_raw(path).values
    if values.shape[:2] != (height, width):
        raise DataError(
            f"{shown} is {values.shape[1]}x{values.shape[0]} pixels; its image is {width}x{height}"
        )
    return values > 0 if values.ndim == 2 else values.any(axis=2)
