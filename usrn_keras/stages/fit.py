"""The whole way: Baseline, subclasses, USRN, scores. Read this first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe
from usrn_keras.runs import BASELINE, SUBCLASSES, USRN
from usrn_keras.stages.baseline import train_baseline
from usrn_keras.stages.cluster import cluster
from usrn_keras.stages.measure import measure
from usrn_keras.stages.session import complete_stages, session
from usrn_keras.stages.usrn import train_usrn


def fit(
    recipe: Recipe,
    run_dir: Path | str,
    *,
    progress: Progress = SILENT,
    log: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run the stages of a recipe that are not complete in `run_dir`.

    Interrupted at any moment and called again, it goes on from the last checkpoint and
    reaches the result it would have reached.

    Args:
        recipe: What to do.
        run_dir: Folder of the run; made if it does not exist.
        progress: Shows how far each stage is.
        log: Told one line at a time what happens.

    Returns:
        What is in `evaluation.json`: `dataset`, `split`, `images`, `fingerprint`, `checkpoint`, how
        the images were predicted (`mode`, `flip`, `scales`), `class_balance_rate`, `subclasses` and
        `scores` (of Baseline and USRN).

    Raises:
        USRNError: See `usrn_keras.errors`.

    Example:

    >>> recipe = Recipe.load("quickstart", ["training.usrn_steps=10"])
    >>> results = fit(recipe, "runs/quickstart")  # doctest: +SKIP
    """
    with session(recipe, run_dir, log) as (run, dataset):
        stages = {
            BASELINE: lambda: train_baseline(run, dataset, progress),
            SUBCLASSES: lambda: cluster(run, dataset, progress, log),
            USRN: lambda: train_usrn(run, dataset, progress),
        }
        complete_stages(run, stages, log)
        return measure(run, dataset, progress)
