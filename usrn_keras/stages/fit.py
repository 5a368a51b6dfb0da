"""The whole way: Baseline, subclasses, USRN, scores. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe
from usrn_keras.runs import BASELINE, SUBCLASSES, USRN, Run, open_run, reuse_stages, why_not_reused
from usrn_keras.stages.baseline import train_baseline
from usrn_keras.stages.beforehand import refuse_what_would_stop
from usrn_keras.stages.cluster import cluster
from usrn_keras.stages.measure import measure
from usrn_keras.stages.session import complete_stages, session
from usrn_keras.stages.usrn import train_usrn


def fit(
    recipe: Recipe,
    run_dir: Path | str,
    *,
    reuse: Sequence[Path | str] = (),
    progress: Progress = SILENT,
    log: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run the stages of a recipe that are not complete in `run_dir`.

    Interrupted at any moment and called again, it goes on from the last checkpoint and
    reaches the result it would have reached.

    Args:
        recipe: What to do.
        run_dir: Folder of the run; made if it does not exist.
        reuse: Folders of other runs: their complete stages are taken over where this recipe gives the same.
        progress: Shows how far each stage is.
        log: Told one line at a time what happens.

    Returns:
        What is in `evaluation.json`: `dataset`, `split`, `images`, `fingerprint`, `checkpoint`, how
        the images were predicted (`mode`, `flip`, `scales`), `scores` of Baseline and USRN, and
        `class_balance_rate` and `subclasses`; of a supervised run, `scores` of the Baseline alone.

    Raises:
        USRNError: See `usrn_keras.errors`.

    Example:

    >>> recipe = Recipe.load("quickstart", ["training.usrn_steps=10"])
    >>> results = fit(recipe, "runs/quickstart")  # doctest: +SKIP
    """
    with session(recipe, run_dir, log) as (run, dataset):
        _take_over(run, [open_run(path) for path in reuse], log)
        refuse_what_would_stop(run, dataset)
        work = {
            BASELINE: lambda: train_baseline(run, dataset, progress),
            SUBCLASSES: lambda: cluster(run, dataset, progress, log),
            USRN: lambda: train_usrn(run, dataset, progress),
        }
        complete_stages(run, {stage: work[stage] for stage in run.stages}, log)
        return measure(run, dataset, progress)


def _take_over(run: Run, donors: Sequence[Run], log: Callable[[str], None]) -> None:
    for donor in donors:
        for stage in reuse_stages(run, donor):
            log(f"{stage}: taken over from {donor.path}")
    if why := why_not_reused(run, donors):
        log(why)
