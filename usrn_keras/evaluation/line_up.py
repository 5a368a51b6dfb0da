"""Everything that is to stand in one table, checked before the first of it is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from usrn_keras.data import Dataset, load_dataset
from usrn_keras.errors import USRNError
from usrn_keras.evaluation.entries import Entry, MasksEntry, RunEntry
from usrn_keras.progress import SILENT, Progress
from usrn_keras.recipe import Recipe
from usrn_keras.report.comparison import validate_same_classes

Made = TypeVar("Made")


def line_up(
    runs: Sequence[Path],
    predictions: Sequence[Path] = (),
    *,
    recipe: Recipe | None = None,
    models: Sequence[str | None] = (None,),
    checkpoints: Sequence[str | None] = (None,),
    split: str | None = None,
    inference: Mapping[str, Any] | None = None,
    progress: Progress = SILENT,
) -> list[Entry]:
    """The columns of a table: each model of each run with each checkpoint, then the folders of masks.

    Args:
        runs: Run folders.
        predictions: Folders of predicted masks. Their data set is that of the first run.
        recipe: Says the data set of `predictions` where there is no run.
        models: `usrn`, `baseline`; None: the last one of each run.
        checkpoints: `last`, `best`; None: what each run's recipe says. So are the others.
        split: `val` or `test`.
        inference: Fields of `Inference` for the runs.
        progress: Counts masks, and is told what was assumed about them.

    Raises:
        USRNError: One of them cannot be measured; all that cannot are named.
        RunError: Their classes differ.

    Example:

    >>> entries = line_up([Path("runs/camvid")], [Path("others/val")])  # doctest: +SKIP
    >>> Comparison([entry.measure(SILENT).scores for entry in entries])  # doctest: +SKIP
    """
    refused: list[USRNError] = []
    entries: list[Entry] = []
    log = _once(progress.log)  # two models of a run say the same
    for path, model, checkpoint in product(runs, models, checkpoints):
        parts = [str(path), *[model] * (model is not None), *[checkpoint] * (len(checkpoints) > 1)]
        options = {"checkpoint": checkpoint, "split": split, "inference": inference, "log": log}
        entries += _attempt(refused, RunEntry, path, model, " ".join(parts), **options)
    labels = _labels_of(entries, recipe, split)
    for folder in predictions if labels else ():
        entries += _attempt(refused, _checked_masks, folder, *labels, progress)
    _refuse(refused)
    validate_same_classes([(entry.name, entry.dataset.classes) for entry in entries])
    return entries


def _labels_of(
    entries: Sequence[Entry], recipe: Recipe | None, split: str | None
) -> tuple[Dataset, str] | None:
    """Data set and split of predicted masks; None where the runs that would say it are refused."""
    if entries:
        return entries[0].dataset, entries[0].split
    return (load_dataset(recipe.data), split or recipe.evaluation.split) if recipe else None


def _checked_masks(folder: Path, dataset: Dataset, split: str, progress: Progress) -> MasksEntry:
    entry = MasksEntry(folder, dataset, split, progress.log)
    entry.measure(progress)  # takes seconds, and only reading every mask shows its faults
    return entry


def _once(log: Callable[[str], None]) -> Callable[[str], None]:
    """`log`, which is told each line once."""
    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            log(line)

    return tell


def _attempt(refused: list[USRNError], make: Callable[..., Made], *args: Any, **options: Any) -> list[Made]:
    try:
        return [make(*args, **options)]
    except USRNError as error:
        refused.append(error)
        return []


def _refuse(refused: Sequence[USRNError]) -> None:
    """Raise the errors as one of the kind of the first; the same error of two models is said once."""
    different = list({str(error): error for error in refused}.values())
    if not different:
        return
    first = different[0]
    if len(different) == 1:
        raise first
    faults = ["\n      ".join([error.message, *error.faults]) for error in different]
    hints = " ".join(dict.fromkeys(error.hint for error in different if error.hint))
    raise type(first)("nothing was measured: some of it cannot be", faults=faults, hint=hints) from first
