"""Work in a run folder: the data set, the lock, the stages that are not complete, interrupts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.data.dataset import PARTS
from usrn_keras.interrupts import check_interrupt, owned_signals
from usrn_keras.methods import stages_of
from usrn_keras.recipe import Recipe
from usrn_keras.runs import Run, start_run
from usrn_keras.runs.environment import trained_backends
from usrn_keras.stages.verify import rebuild_models, verify_stages

INTERRUPTED = "interrupted; run the same command again to resume"


@contextlib.contextmanager
def session(recipe: Recipe, run_dir: Path | str, log: Callable[[str], None]) -> Iterator[tuple[Run, Dataset]]:
    """The run folder of a recipe, locked, and its data set. An interrupt says how to resume."""
    try:
        with owned_signals():
            log(f"Keras {keras.__version__} on {keras.backend.backend()} (set KERAS_BACKEND for another)")
            dataset = load_dataset(recipe.data)
            log(_lists(dataset))
            with start_run(run_dir, recipe, dataset, stages_of(recipe)) as run:
                _log_backends(run, log)
                yield run, dataset
    except KeyboardInterrupt as interrupt:
        # The training loop says more: which step it saved.
        raise (interrupt if str(interrupt) else KeyboardInterrupt(INTERRUPTED)) from None


def complete_stages(
    run: Run, stages: Mapping[str, Callable[[], None]], dataset: Dataset, log: Callable[[str], None]
) -> None:
    """Do the work of each stage that is not complete, in order; files of the others are checked and rebuilt.

    Args:
        run: The run.
        stages: What completes each stage, by its folder.
        dataset: The data set.
        log: Receives one line at a time.

    Raises:
        RunError: A file of a complete stage is damaged, needed, and cannot be rebuilt.
    """
    damaged = verify_stages(run, log)
    for stage, work in stages.items():
        if run.is_complete(stage):
            log(f"{stage}: already complete")
        else:
            work()
        check_interrupt()
    rebuild_models(run, damaged, dataset, log)


def _log_backends(run: Run, log: Callable[[str], None]) -> None:
    """Say that a run continues on another backend: it rounds differently, so the result is another one."""
    backends = trained_backends(run.path)
    if len(backends) > 1 and any(run.stage(stage).exists() for stage in run.stages):
        log(
            f"{run.path} was trained on {', '.join(backends[:-1])} and continues on "
            f"{keras.backend.backend()}: results differ from those of a single backend, and evaluation.json "
            "lists the backends"
        )


def _lists(dataset: Dataset) -> str:
    """Which images these are; figures compare only where the lists have the same hash."""
    counts = ", ".join(f"{len(getattr(dataset, part))} {part}" for part in PARTS)
    return f"{dataset.name}: {counts}; lists {dataset.fingerprint()}"
