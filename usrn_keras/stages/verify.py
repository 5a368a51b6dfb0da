"""Check the products of completed stages, and rebuild what can be rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from usrn_keras.data import Dataset
from usrn_keras.errors import RunError
from usrn_keras.recipe.stage_plan import Label, Train
from usrn_keras.runs import Run
from usrn_keras.runs.products import ChangedProduct
from usrn_keras.stages.train import trained_method, write_model

Changes = Mapping[str, ChangedProduct]  # by the file's own name


def verify_stages(run: Run, log: Callable[[str], None]) -> list[str]:
    """Check every completed stage of a run by size and SHA-256, before the others begin.

    Subclasses, sublabel maps and pseudo masks that have changed are computed again by their stage, and a
    damaged `complete.json` lets its stage be completed again.

    Args:
        run: The run, locked by this process.
        log: Receives one line at a time.

    Returns:
        Folders of the training stages whose `model.keras` must be written again, see `rebuild_models`.

    Raises:
        RunError: A product that is needed cannot be rebuilt; all of them are named, and nothing was changed.
    """
    marks, changed = {}, {}
    for folder in filter(run.is_complete, run.stages):
        try:
            changed[folder] = run.changed_products(folder)
        except RunError as error:
            marks[folder] = f"{error.message}; {folder} is completed again from its files"
    changed = {folder: found for folder, found in changed.items() if found}
    trained = [folder for folder in changed if isinstance(run.plan[folder], Train)]
    repeated = [folder for folder in changed if folder not in trained]
    waiting = [folder for folder in run.stages if not run.is_complete(folder) or folder in repeated]
    lost, models = [], []
    for folder in trained:
        changes = {PurePosixPath(change.name).name: change for change in changed[folder]}
        lost += _lost(run, folder, changes, waiting)
        models += [folder] if "model.keras" in changes else []
    if lost:
        raise RunError(
            f"{run.path}: files of completed stages are missing or have changed, and cannot be rebuilt",
            errors=lost,
            hint="Restore them from a copy, or train again in another folder: --run FOLDER; with "
            f"--reuse {run.path} it takes over the stages that are whole.",
        )
    for folder, found in changed.items():
        listed = "; ".join(f"{name} {problem}" for name, problem in found)
        log(f"{listed}{'; computed again' if folder in repeated else ''}")
    for folder in repeated:
        _repeat(run, folder, changed[folder])
    for folder, line in marks.items():
        log(line)
        (run.stage(folder) / "complete.json").unlink()
    return models


def rebuild_models(run: Run, folders: Sequence[str], dataset: Dataset, log: Callable[[str], None]) -> None:
    """Write `model.keras` of training stages again, from their checkpoints.

    Args:
        run: The run; the stages that its models need are complete.
        folders: Folders of the stages.
        dataset: The data set.
        log: Receives one line at a time.
    """
    for folder in folders:
        model = run.training_stages[folder].name
        path = write_model(run, folder, trained_method(run, model, dataset))
        run.product_changed(folder, path)
        log(f"{path}: written again from the checkpoint of {folder}")


def _lost(run: Run, folder: str, changes: Changes, waiting: Sequence[str]) -> list[str]:
    """What is needed of a training stage and cannot be rebuilt, a line for each file."""
    lost = []
    if "checkpoint.npz" in changes:
        readers = [
            getattr(run.plan[name], key, "") for name in waiting for key in ("start", "model", "teacher")
        ]
        if run.training_stages[folder].name in readers:
            lost.append(_line(changes["checkpoint.npz"], "later stages start from it"))
        if "model.keras" in changes:
            lost.append(_line(changes["model.keras"], "its checkpoint has changed, too"))
    if run.recipe.evaluation.checkpoint == "best":
        found = [changes[name] for name in ("best.keras", "best.json") if name in changes]
        lost += [_line(change, "evaluation.checkpoint = 'best' needs it") for change in found]
    return lost


def _line(change: ChangedProduct, why: str) -> str:
    return f"{change.name} {change.problem}; {why}"


def _repeat(run: Run, folder: str, changed: Sequence[ChangedProduct]) -> None:
    """Let a clustering or labelling stage run again."""
    for name, _ in changed:
        (run.path / name).unlink(missing_ok=True)
    if isinstance(run.plan[folder], Label):
        (run.stage(folder) / "labels.json").unlink(missing_ok=True)
    (run.stage(folder) / "complete.json").unlink()
