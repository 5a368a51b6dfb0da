"""How well each image was predicted, kept in a file: which went worst is known without measuring again."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from usrn_keras.evaluation.evaluate import Measured
from usrn_keras.files import atomic_path
from usrn_keras.report.text_tables import csv_text

NOTE = "mIoU of each image alone, over the classes in its label: to find images, never to be averaged"
ImageMious = Mapping[str, float | None]  # by name of the image, in 0..1; None: its label has no class


def image_mious(measured: Measured) -> dict[str, float | None]:
    """The mIoU of each image, as JSON values."""
    return {image.sample.name: None if math.isnan(image.miou) else image.miou for image in measured.images}


def write_image_scores(path: Path, models: Mapping[str, ImageMious]) -> None:
    """Write `image, A, B, ...`: a row for each image with its mIoU by each model.

    Args:
        path: The CSV file.
        models: By name of the model; an image that one of them lacks has an empty cell.
    """
    names = list(dict.fromkeys(name for mious in models.values() for name in mious))
    rows = [[name, *(mious.get(name) for mious in models.values())] for name in names]
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text([["image", *models], *rows], [NOTE]), encoding="utf-8")


def read_image_scores(path: Path) -> dict[str, dict[str, float | None]]:
    """What `write_image_scores` wrote: the mIoU of each image by each model; None where there is none.

    Example:

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "image_scores.csv"
    >>> write_image_scores(path, {"Baseline": {"town/0": 0.25}, "USRN": {"town/0": 0.5, "town/1": None}})
    >>> read_image_scores(path)["USRN"]
    {'town/0': 0.5, 'town/1': None}
    """
    text = path.read_text(encoding="utf-8").removesuffix(f"# {NOTE}\n")
    (_, *models), *rows = csv.reader(text.splitlines(keepends=True))
    return {
        model: {name: float(cells[i]) if cells[i] else None for name, *cells in rows}
        for i, model in enumerate(models)
    }
