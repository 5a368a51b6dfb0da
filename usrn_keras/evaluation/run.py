"""Measuring a model of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usrn_keras.evaluation.entries import RunEntry
from usrn_keras.evaluation.evaluate import Measured
from usrn_keras.progress import SILENT, Progress


def evaluate_run(
    run_dir: Path | str,
    *,
    split: str | None = None,
    model: str | None = None,
    checkpoint: str | None = None,
    inference: Mapping[str, Any] | None = None,
    boundary: bool = True,
    progress: Progress = SILENT,
) -> Measured:
    """Scores of a model of a run folder. What is None is as the run's recipe says in `[evaluation]`.

    Args:
        run_dir: Folder of a run.
        split: `val` or `test`.
        model: `usrn` or `baseline`; None: its last one.
        checkpoint: `last` or `best`.
        inference: Fields of `Inference` that differ from the recipe, such as
            `{"mode": "slide", "flip": True}`; None as a value leaves the recipe's.
        boundary: Whether to count the pixels of Boundary IoU.
        progress: Counts images.

    Raises:
        RunError: The folder is no run, the model is not trained yet, or the run kept no best weights.
        RecipeError: A field of `inference` is out of its range.
        DataError: The split is empty or cannot be read.

    Example:

    >>> measured = evaluate_run("runs/camvid", split="test")  # doctest: +SKIP
    >>> measured.scores.miou, min(measured.images, key=lambda image: image.miou).sample.name  # doctest: +SKIP
    (0.61, 'test/0001TP_008850')
    """
    entry = RunEntry(
        Path(run_dir), model, None,
        checkpoint=checkpoint, split=split, inference=inference, log=progress.log,
    )  # fmt: skip
    return entry.measure(progress, boundary=boundary)
