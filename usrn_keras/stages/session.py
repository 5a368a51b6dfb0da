"""Work in a run folder: the data set, the lock, the stages that are not complete, Ctrl-C handling."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import keras

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.data.dataset import PARTS
from usrn_keras.methods import stages_of
from usrn_keras.recipe import Recipe
from usrn_keras.runs import Run, start_run

INTERRUPTED = "interrupted; run the same command again to resume"


@contextlib.contextmanager
def session(recipe: Recipe, run_dir: Path | str, log: Callable[[str], None]) -> Iterator[tuple[Run, Dataset]]:
    """The run folder of a recipe, locked, and its data set. An interrupt says how to resume."""
    try:
        log(f"Keras {keras.__version__} on {keras.backend.backend()} (set KERAS_BACKEND for another)")
        dataset = load_dataset(recipe.data)
        log(_lists(dataset))
        with start_run(run_dir, recipe, dataset, stages_of(recipe)) as run:
            yield run, dataset
    except KeyboardInterrupt as interrupt:
        # The training loop says more: which step it saved.
        raise (interrupt if str(interrupt) else KeyboardInterrupt(INTERRUPTED)) from None


def complete_stages(run: Run, stages: Mapping[str, Callable[[], None]], log: Callable[[str], None]) -> None:
    """Do the work of each stage that is not complete, in order."""
    for stage, work in stages.items():
        if run.is_complete(stage):
            log(f"{stage}: already complete")
        else:
            work()


def _lists(dataset: Dataset) -> str:
    """Which images these are; figures compare only where the lists have the same hash."""
    counts = ", ".join(f"{len(getattr(dataset, part))} {part}" for part in PARTS)
    return f"{dataset.name}: {counts}; lists {dataset.fingerprint()}"
