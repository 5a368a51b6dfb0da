"""A whole run: the stages that the method asks for, then the scores. Read this first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.inspection.data_findings import FILES_LEFT_OUT
from usrn_keras.inspection.folder_account import account_for_files
from usrn_keras.progress import SILENT, Progress
from usrn_keras.ranks import ALONE, Ranks
from usrn_keras.recipe import Recipe
from usrn_keras.recipe.stage_plan import Label, Train
from usrn_keras.runs import Run, open_run, reuse_stages, why_not_reused
from usrn_keras.stages.backbone_features import link_features
from usrn_keras.stages.cluster import cluster
from usrn_keras.stages.devices import (
    ONE_DEVICE,
    Devices,
    check_same_dataset,
    choose_devices,
    join_processes,
    leave_processes,
    lost_process,
)
from usrn_keras.stages.evaluate_models import evaluate_models
from usrn_keras.stages.label import label
from usrn_keras.stages.preflight import validate_run
from usrn_keras.stages.session import complete_stages, session
from usrn_keras.stages.train import train

END = -1  # order of the first process: there is nothing more to train


def fit(
    recipe: Recipe,
    run_dir: Path | str,
    *,
    reuse: Sequence[Path | str] = (),
    devices: int | str = 1,
    progress: Progress = SILENT,
    log: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run the stages of a recipe that are not complete in `run_dir`.

    Interrupted at any moment and called again, it resumes from the last checkpoint and reaches the same
    result.

    Args:
        recipe: The recipe.
        run_dir: Folder of the run; created if it does not exist.
        reuse: Folders of other runs: their complete stages are taken over where this recipe gives the same.
        devices: Number of devices to train on, or `all`. The result does not depend on it, but for rounding.
        progress: Shows the progress of each stage.
        log: Receives one line at a time.

    Returns:
        What is in `evaluation.json`: `dataset`, `split`, `images`, `fingerprint`, `checkpoint`, how
        the images were predicted (`mode`, `flip`, `scales`), `scores` of each model, and, where the method
        has subclasses, `class_balance_rate` and `subclasses`.

    Raises:
        USRNError: See `usrn_keras.errors`.

    Example:

    >>> recipe = load_recipe("quickstart", ["training.usrn_steps=10"])
    >>> results = fit(recipe, "runs/quickstart")  # doctest: +SKIP
    """
    ranks, failed = ALONE, True
    try:
        ranks = join_processes(recipe)
        number = choose_devices(recipe, devices, ranks)
        if ranks.world > 1:  # before anything is written
            check_same_dataset(ranks, load_dataset(recipe.data))
        if ranks.writes:
            results = _lead(recipe, run_dir, reuse, Devices(number, ranks), progress, log)
        else:
            results = follow(recipe, run_dir, ranks)
        failed = False
    except (RuntimeError, ValueError) as error:  # JAX raises both
        if ranks.world > 1 and (lost := lost_process(error)):
            raise lost from error
        raise
    finally:
        leave_processes(failed=failed)
    return results


def _lead(
    recipe: Recipe,
    run_dir: Path | str,
    reuse: Sequence[Path | str],
    devices: Devices,
    progress: Progress,
    log: Callable[[str], None],
) -> dict[str, Any]:
    """Do the stages of a run, and train those with other processes that wait in `follow`."""
    with session(recipe, run_dir, log) as (run, dataset):
        for finding in account_for_files(recipe.data, dataset):
            if finding.kind == FILES_LEFT_OUT:
                log(f"note: {finding.message}; `usrn data check` says more")
        if devices.ranks.world > 1 and recipe.training.batch_norm == "local":
            log(
                f"note: training.batch_norm = 'local' takes the statistics of the images of each of "
                f"{devices.ranks.world} processes; the result depends on their number"
            )
        _take_over(run, [open_run(path) for path in reuse], log)
        validate_run(run, dataset)
        complete_stages(
            run,
            {folder: stage_work(run, folder, dataset, progress, log, devices) for folder in run.stages},
            dataset,
            log,
        )
        devices.ranks.send(END)
        leave_processes()  # the others have nothing more to do
        return evaluate_models(run, dataset, progress)


def stage_work(
    run: Run,
    folder: str,
    dataset: Dataset,
    progress: Progress,
    log: Callable[[str], None],
    devices: Devices = ONE_DEVICE,
) -> Callable[[], None]:
    """What completes a stage.

    Args:
        run: The run.
        folder: Folder of the stage.
        dataset: The data set.
        progress: Shows the progress.
        log: Receives one line at a time.
        devices: Devices to train on.
    """
    if isinstance(run.plan[folder], Train):
        return lambda: _train_together(run, folder, dataset, progress, devices)
    if isinstance(run.plan[folder], Label):
        return lambda: label(run, folder, dataset, progress, log)
    return lambda: cluster(run, dataset, progress, log)


def _train_together(run: Run, folder: str, dataset: Dataset, progress: Progress, devices: Devices) -> None:
    devices.ranks.send(run.stages.index(folder))
    train(run, folder, dataset, progress, devices)


def follow(recipe: Recipe, run_dir: Path | str, ranks: Ranks) -> dict[str, Any]:
    """Train the stages that the first process orders, with it, write nothing, and return no results.

    Args:
        recipe: The recipe.
        run_dir: Folder of the run, which the first process has locked.
        ranks: Place of this process.
    """
    dataset = load_dataset(recipe.data)
    while (order := ranks.receive()) != END:
        run = open_run(run_dir)
        train(run, run.stages[order], dataset, SILENT, Devices(1, ranks))
    return {}


def _take_over(run: Run, donors: Sequence[Run], log: Callable[[str], None]) -> None:
    for donor in donors:
        for stage in reuse_stages(run, donor):
            log(f"{stage}: taken over from {donor.path}")
        if count := link_features(run, donor):
            log(f"features of {count} images: taken over from {donor.path}")
    if why := why_not_reused(run, donors):
        log(why)
