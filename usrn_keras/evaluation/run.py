"""Measuring a model of a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from usrn_keras.data import load_dataset
from usrn_keras.evaluation.evaluate import Measured, evaluate, samples_of
from usrn_keras.evaluation.inference import inference_of
from usrn_keras.networks import load_segmenter
from usrn_keras.progress import SILENT, Progress
from usrn_keras.runs import open_run


def evaluate_run(
    run_dir: Path | str,
    *,
    split: str | None = None,
    model: str = "usrn",
    checkpoint: str | None = None,
    inference: Mapping[str, Any] | None = None,
    boundary: bool = True,
    progress: Progress = SILENT,
) -> Measured:
    """Scores of a model of a run folder. What is None is as the run's recipe says in `[evaluation]`.

    Args:
        run_dir: Folder of a run.
        split: `val` or `test`.
        model: `usrn` or `baseline`.
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
    run = open_run(run_dir)
    settings = run.recipe.evaluation
    split, checkpoint = split or settings.split, checkpoint or settings.checkpoint
    options = inference_of(run.recipe, inference)
    file = run.model_file(model, checkpoint)
    dataset = load_dataset(run.recipe.data)
    return evaluate(
        load_segmenter(file),
        samples_of(dataset, split, run_dir),
        dataset,
        name=model,
        options=options,
        batch=settings.batch,
        workers=run.recipe.data.workers,
        boundary=boundary,
        checkpoint=run.checkpoint_name(model, checkpoint),
        progress=progress,
    )
