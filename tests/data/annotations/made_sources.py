"""Small photographs, and what an import of annotations gives for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from usrn_keras.data.annotations import ImportReport, import_annotations
from usrn_keras.errors import USRNError

HEIGHT, WIDTH = 24, 32


def write_photos(folder: Path, *names: str, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Grey photographs of the size (height, width)."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size[::-1], (90, 90, 90)).save(folder / name)
    return folder


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def imported(
    source: Path, photos: Path, out: Path | None = None, **options
) -> tuple[ImportReport, dict[str, np.ndarray]]:
    """The report of an import, and the masks by name without suffix."""
    out = out or photos.parent / "masks"
    report = import_annotations(source, photos, out, **options)
    return report, {
        path.relative_to(out).with_suffix("").as_posix(): read(path) for path in out.rglob("*.png")
    }


def read(path: Path) -> np.ndarray:
    with Image.open(path) as mask:
        assert mask.mode == "P"
        return np.asarray(mask)


def problems(source: Path, photos: Path, **options) -> str:
    """The message of the error of an import that must fail and leave nothing behind."""
    before = sorted(photos.parent.rglob("*"))
    try:
        import_annotations(source, photos, photos.parent / "masks", **options)
    except USRNError as error:
        assert sorted(photos.parent.rglob("*")) == before
        return str(error)
    raise AssertionError("the import succeeded")


def box(
    x: int, y: int, width: int, height: int, value: int = 1, base: np.ndarray | None = None
) -> np.ndarray:
    """A mask of 0 with a box of `value`."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8) if base is None else base.copy()
    mask[y : y + height, x : x + width] = value
    return mask
