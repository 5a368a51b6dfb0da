"""Find out the format of annotations, and read them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from usrn_keras.data.annotations.annotation_set import AnnotationSet
from usrn_keras.data.annotations.archive import unpacked
from usrn_keras.data.annotations.cityscapes_polygons import ENDINGS, is_cityscapes, parse_cityscapes
from usrn_keras.data.annotations.coco import is_coco, parse_coco
from usrn_keras.data.annotations.cvat import is_cvat, read_cvat
from usrn_keras.data.annotations.json_documents import read_document
from usrn_keras.data.annotations.label_studio import (
    image_names,
    is_label_studio,
    parse_label_studio,
    read_brush_pngs,
)
from usrn_keras.data.annotations.labelme import is_labelme, parse_labelme, read_dataset_folders
from usrn_keras.data.annotations.supervisely import (
    is_supervisely,
    is_supervisely_document,
    parse_supervisely,
    read_meta,
)
from usrn_keras.data.annotations.yolo import is_yolo, read_yolo
from usrn_keras.data.dataset import ErrorList
from usrn_keras.errors import DataError

ALLOWED = (
    "Allowed are LabelMe JSON, COCO instances JSON, CVAT `Segmentation mask 1.1`, Label Studio JSON, YOLO "
    "polygons with data.yaml or classes.txt, Supervisely projects and Cityscapes polygons: a file, a folder "
    "or a zip."
)
SUFFIXES = (".json", ".zip", ".yaml", ".yml", ".xml", ".txt")
SHOWN = 5

# In this order; the first that is true decides.
JSON_FORMATS: dict[
    str, tuple[Callable[[Any], bool], Callable[[Mapping[str, Any], ErrorList], AnnotationSet]]
] = {
    "COCO": (is_coco, parse_coco),
    "LabelMe": (is_labelme, parse_labelme),
    "Cityscapes": (is_cityscapes, parse_cityscapes),
    "Label Studio": (is_label_studio, parse_label_studio),
    "Supervisely": (is_supervisely_document, lambda found, errors: parse_supervisely(found, None, errors)),
}


def is_annotation_source(path: Path) -> bool:
    """Whether `usrn init --masks PATH` draws masks from annotations instead of reading mask files.

    A folder of Cityscapes that has mask files beside its polygons is a folder of masks.
    """
    if path.is_file():
        return path.suffix.lower() in SUFFIXES
    if not path.is_dir():
        return False
    root = top_folder(path)
    if is_cvat(root) or is_supervisely(root) or is_yolo(root) or _dataset_folders(root):
        return True
    files = _json_files(root)
    if any(file.stem.endswith(ENDINGS) for file in files):
        return not any(root.rglob("*_gt*_label*.png"))
    return any(_kind_of(read_document(file, file.name, ErrorList())) for file in files)


@contextlib.contextmanager
def read_annotations(source: Path, errors: ErrorList) -> Iterator[AnnotationSet]:
    """Read a file, a folder or a zip archive of annotations; its bitmaps can be read within the block.

    Args:
        source: Path of the source.
        errors: Receives the errors of single annotations.

    Raises:
        DataError: The source is missing, of an unknown format, or holds several formats.
    """
    if not source.exists():
        raise DataError(f"{source}: no such file or folder", hint=ALLOWED)
    if source.is_dir():
        yield _read_folder(source, errors)
    elif source.suffix.lower() == ".zip":
        with unpacked(source) as folder:
            yield _read_folder(folder, errors, shown=str(source))
    elif source.suffix.lower() == ".json":
        yield _read_json(source.parent, [source], errors, str(source))
    elif source.suffix.lower() in (".yaml", ".yml", ".txt") and is_yolo(source.parent):
        yield read_yolo(source.parent, errors)
    else:
        raise DataError(f"{source} is not an annotation file that can be read", hint=_hint(source))


def top_folder(path: Path) -> Path:
    """The folder itself, or the only folder in it, as archives often have one."""
    entries = [entry for entry in path.iterdir() if entry.name[0] != "." and entry.name != "__MACOSX"]
    return top_folder(entries[0]) if len(entries) == 1 and entries[0].is_dir() else path


def _read_folder(folder: Path, errors: ErrorList, shown: str = "") -> AnnotationSet:
    root = top_folder(folder)
    if is_cvat(root):
        return read_cvat(root, errors)
    if is_supervisely(root):
        files = [file for file in _json_files(root) if file.parent.name == "ann"]
        return parse_supervisely(_documents(root, files, errors), read_meta(root, errors), errors)
    if is_yolo(root):
        return read_yolo(root, errors)
    # In these, the folders are parts of the names of the images.
    if folders := _dataset_folders(folder):
        return read_dataset_folders(folder, folders, errors)
    if pngs := sorted(folder.rglob("task-*-annotation-*.png")):
        return read_brush_pngs(folder, pngs, _tasks(folder, errors), errors)
    if files := _json_files(folder):
        return _read_json(folder, files, errors, shown or str(folder))
    raise DataError(f"{shown or folder} contains no annotations that can be read", hint=_hint(root))


def _read_json(root: Path, files: list[Path], errors: ErrorList, shown: str) -> AnnotationSet:
    documents = _documents(root, files, errors)
    errors.raise_if_any(f"{shown} cannot be read", hint=ALLOWED)
    kinds: dict[str, dict[str, Any]] = {}
    for name, document in documents.items():
        kinds.setdefault(_kind_of(document), {})[name] = document
    unknown = kinds.pop("", {})
    if not kinds:
        lines = [f"{name}: {_description(document)}" for name, document in unknown.items()]
        more = [f"and {len(lines) - SHOWN} more"] * (len(lines) > SHOWN)
        raise DataError(
            f"{shown} contains JSON of another tool or for another purpose",
            errors=lines[:SHOWN] + more,
            hint=ALLOWED,
        )
    if len(kinds) > 1:
        lines = [f"{kind}: {len(found)} files, such as {min(found)}" for kind, found in kinds.items()]
        raise DataError(
            f"{shown} contains annotations of several formats",
            errors=lines,
            hint="Give a folder or file of one.",
        )
    ((kind, found),) = kinds.items()
    parsed = JSON_FORMATS[kind][1](found, errors)
    if not unknown:
        return parsed
    listed = ", ".join(sorted(unknown)[:SHOWN]) + ", ..." * (len(unknown) > SHOWN)
    note = f"{len(unknown)} JSON files are not {kind} annotations, and not read: {listed}"
    return AnnotationSet(**{**vars(parsed), "notes": (*parsed.notes, note)})


def _kind_of(document: Any) -> str:
    return next((kind for kind, (fits, _) in JSON_FORMATS.items() if fits(document)), "")


def _documents(root: Path, files: list[Path], errors: ErrorList) -> dict[str, Any]:
    documents = {}
    for file in files:
        name = file.relative_to(root).as_posix()
        found = read_document(file, name, errors)
        if isinstance(found, dict):
            found.pop("imageData", None)  # LabelMe may keep the photograph in the file
        if found is not None:
            documents[name] = found
    return documents


def _json_files(root: Path) -> list[Path]:
    return sorted(f for f in root.rglob("*.json") if not any(p[0] == "." for p in f.relative_to(root).parts))


def _dataset_folders(root: Path) -> list[Path]:
    return sorted(
        file.parent for file in root.rglob("label_names.txt") if (file.parent / "label.png").is_file()
    )


def _tasks(root: Path, errors: ErrorList) -> dict[int, tuple[str, ...]]:
    found = {}
    for document in _documents(root, _json_files(root), errors).values():
        for task in document if is_label_studio(document) else ():
            if isinstance(task.get("id"), int):
                found[task["id"]] = image_names(task)
    return found


def _description(document: Any) -> str:
    """What a JSON document is, as far as it is known."""
    keys = set(document) if isinstance(document, dict) else set()
    if "_via_img_metadata" in keys or "_via_settings" in keys:
        return "a project of the VGG Image Annotator; export it as COCO JSON"
    if {"infos", "categories", "items"} <= keys:
        return "Datumaro JSON; export COCO instances instead"
    if {"images", "annotations"} <= keys:
        return "COCO JSON without `categories`: captions, or a file that was cut"
    if (
        isinstance(document, list)
        and document
        and isinstance(document[0], dict)
        and "data_row" in document[0]
    ):
        return "Labelbox JSON; export COCO instead"
    if isinstance(document, dict):
        return f"an object with the keys {', '.join(sorted(map(str, keys))[:8]) or '(none)'}"
    return f"a JSON value of the type {type(document).__name__}"


def _hint(path: Path) -> str:
    if path.suffix.lower() == ".xml" or (path.is_dir() and any(path.glob("*.xml"))):
        return f"XML is not read: export from CVAT as `Segmentation mask 1.1` or COCO. {ALLOWED}"
    return ALLOWED
