"""How well each image was predicted, kept in a file: which went worst is known without measuring again."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from usrn_keras.evaluation.evaluate import ImageScore
from usrn_keras.files import atomic_path
from usrn_keras.report.csv_text import csv_text

NOTE = "mIoU of each image alone, over the classes in its label: to find images, never to be averaged"


def write_image_scores(path: Path, images: Mapping[str, Sequence[ImageScore]]) -> None:
    """Write `image, A, B, ...`: a row for each image with its mIoU by each model, in 0..1.

    Args:
        path: The CSV file.
        images: Scores of the same images in the same order, by name of the model.
    """
    rows = [
        [scores[0].sample.name, *(None if score.miou != score.miou else score.miou for score in scores)]
        for scores in zip(*images.values(), strict=True)
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(csv_text([["image", *images], *rows], [NOTE]), encoding="utf-8")


def read_image_scores(path: Path) -> dict[str, dict[str, float]]:
    """The mIoU of each image by name of the model: `{image: {model: mIoU}}`, NaN where nothing was measured.

    Example:

    >>> import tempfile
    >>> from usrn_keras.data import Sample
    >>> path = Path(tempfile.mkdtemp()) / "image_scores.csv"
    >>> write_image_scores(path, {"USRN": [ImageScore(Sample("town/0", Path("0.png")), 0.5, 0.9)]})
    >>> read_image_scores(path)
    {'town/0': {'USRN': 0.5}}
    """
    text = path.read_text(encoding="utf-8").removesuffix(f"# {NOTE}\n")
    (_, *models), *rows = csv.reader(text.splitlines(keepends=True))
    return {
        name: {model: float(cell or "nan") for model, cell in zip(models, cells, strict=True)}
        for name, *cells in rows
    }
