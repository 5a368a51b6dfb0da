"""Write label maps in the formats of labelling tools, exact to the pixel."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from usrn_keras.data.annotations.class_ids import IGNORE
from usrn_keras.data.annotations.coco import coco_annotations
from usrn_keras.data.annotations.cvat import (
    CLASS_MASKS,
    LABEL_MAP,
    LabelMapEntry,
    label_map_text,
    write_cvat_mask,
)
from usrn_keras.data.annotations.import_annotations import write_mask
from usrn_keras.data.annotations.label_studio import label_studio_task
from usrn_keras.data.annotations.labelme import labelme_document
from usrn_keras.data.mask_values import voc_palette

IGNORE_LABEL = "__ignore__"
IGNORE_COLOUR = (224, 224, 192)  # as the borders of PASCAL VOC


class LabelWriter:
    """Writes the labels of images to a folder, in one format.

    Args:
        folder: Folder to write to.
        place: Path that the folder will have, from which paths of images are relative.
        names: Name of each label id to write; pixels of other ids are left out.
        palette: Colours of the ids, `(256, 3)` uint8.
    """

    def __init__(self, folder: Path, place: Path, names: Mapping[int, str], palette: np.ndarray):
        self.folder = folder
        self.place = place
        self.names = names
        self.palette = palette

    def add(self, name: str, image: Path, labels: np.ndarray) -> None:
        """Write the labels of an image.

        Args:
            name: Path of the image below its folder, with `/` and suffix.
            image: Path of the image file.
            labels: Label ids, `(height, width)` uint8.
        """
        raise NotImplementedError

    def finish(self) -> None:
        """Write what is common to all images."""


class MaskWriter(LabelWriter):
    """Palette PNG masks, `NAME.png`; pixels without a label are 255."""

    def add(self, name: str, image: Path, labels: np.ndarray) -> None:
        kept = np.isin(labels, list(self.names))
        write_mask(_target(self.folder, name, ".png"), np.where(kept, labels, IGNORE), self.palette)


class LabelMeWriter(LabelWriter):
    """A JSON file with shapes of the type mask for each image, `NAME.json`."""

    def add(self, name: str, image: Path, labels: np.ndarray) -> None:
        beside = (self.place / name).parent
        path = os.path.relpath(image.resolve(), beside.resolve()).replace(os.sep, "/")
        _write_json(_target(self.folder, name, ".json"), labelme_document(path, labels, self.names))


class CocoWriter(LabelWriter):
    """One `instances.json` with run lengths; the category id is the class id plus 1."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, image: Path, labels: np.ndarray) -> None:
        number = len(self._images) + 1
        height, width = labels.shape
        self._images.append({"id": number, "file_name": name, "height": height, "width": width})
        self._annotations += coco_annotations(number, labels, self.names, len(self._annotations) + 1)

    def finish(self) -> None:
        categories = [{"id": value + 1, "name": name} for value, name in self.names.items()]
        content = {"images": self._images, "annotations": self._annotations, "categories": categories}
        _write_json(self.folder / "instances.json", content)


class CvatWriter(LabelWriter):
    """Masks of "Segmentation mask 1.1": labelmap.txt, SegmentationClass and a list of the images."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._stems: list[str] = []

    def add(self, name: str, image: Path, labels: np.ndarray) -> None:
        write_cvat_mask(_target(self.folder / CLASS_MASKS, name, ".png"), labels, self.palette)
        self._stems.append(PurePosixPath(name).with_suffix("").as_posix())

    def finish(self) -> None:
        entries = [
            LabelMapEntry(name, tuple(self.palette[value].tolist())) for value, name in self.names.items()
        ]
        (self.folder / LABEL_MAP).write_text(label_map_text(entries), encoding="utf-8")
        listed = self.folder / "ImageSets/Segmentation/default.txt"
        listed.parent.mkdir(parents=True)
        listed.write_text("".join(f"{stem}\n" for stem in self._stems), encoding="utf-8")


class LabelStudioWriter(LabelWriter):
    """One `tasks.json` with brush regions; images are those of local storage."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self._tasks: list[dict[str, Any]] = []

    def add(self, name: str, image: Path, labels: np.ndarray) -> None:
        self._tasks.append(label_studio_task(len(self._tasks) + 1, name, labels, self.names))

    def finish(self) -> None:
        _write_json(self.folder / "tasks.json", self._tasks)


WRITERS: dict[str, type[LabelWriter]] = {
    "labelme": LabelMeWriter,
    "coco": CocoWriter,
    "cvat": CvatWriter,
    "labelstudio": LabelStudioWriter,
    "masks": MaskWriter,
}
EVERY_PIXEL = ("cvat", "masks")  # formats in which every pixel has a value


def written_palette(colours: np.ndarray) -> np.ndarray:
    """Colours of all label ids, different from each other, `(256, 3)` uint8.

    Args:
        colours: Colours of the classes, `(classes, 3)` uint8.
    """
    own = colours if len(np.unique(colours, axis=0)) == len(colours) else voc_palette(len(colours))
    palette = voc_palette(256)
    palette[: len(own)] = own
    taken = set(map(tuple, own.tolist()))
    free = (IGNORE_COLOUR, *((value, value, value) for value in range(255, 0, -1)))
    palette[IGNORE] = next(colour for colour in free if colour not in taken)
    return palette


def _target(folder: Path, name: str, suffix: str) -> Path:
    path = folder / PurePosixPath(name).with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
