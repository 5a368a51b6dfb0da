"""Folder of related runs, which are found by their keys; one process at a time may use it."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from usrn_keras._version import NUMERICS
from usrn_keras.errors import RunError
from usrn_keras.files import read_json, storage_errors, write_json
from usrn_keras.methods import stages_of
from usrn_keras.recipe import Recipe
from usrn_keras.runs import Run, open_run
from usrn_keras.runs.environment import recorded_numerics
from usrn_keras.runs.reuse import stage_key
from usrn_keras.stages.evaluate_models import known_results
from usrn_keras.sweeps.plan import PlannedRun


@dataclass(frozen=True)
class Family:
    """Folder with the runs of one or several tables.

    Attributes:
        path: Path of the folder.
    """

    path: Path

    def folder(self, planned: PlannedRun) -> Path:
        """Return the folder of a run, existing or new, independent of the row."""
        found = sorted(self.path.glob(f"*-{planned.key}"))
        return found[0] if found else self.path / planned.name

    def run(self, planned: PlannedRun) -> Run | None:
        """Open a run, complete or not; None if it was not started."""
        folder = self.folder(planned)
        return open_run(folder) if (folder / "dataset.json").exists() else None

    def has(self, planned: PlannedRun, stage: str) -> bool:
        """Whether a stage of a run is complete."""
        return (self.folder(planned) / stage / "complete.json").exists()

    def is_done(self, planned: PlannedRun) -> bool:
        """Whether a run is trained, and evaluated with the settings of its recipe."""
        run = self.run(planned)
        if run is None or not all(map(run.is_complete, planned.needs)):
            return False
        return known_results(run, planned.recipe, planned.contents) is not None

    def donors(self, planned: PlannedRun) -> list[Path]:
        """Return folders of other runs whose first stage is complete and can be reused."""
        first, *_ = stages_of(planned.recipe)

        def depends_on(recipe: Recipe) -> dict[str, Any]:
            # Without the path of the weights, which is absolute in a run folder.
            return {**stage_key(recipe, first, data="", backend=""), "network.weights": ""}

        others = [open_run(other) for other in self._begun(current=True) if other != self.folder(planned)]
        wanted = depends_on(planned.recipe)
        same = [
            run for run in others if run.stages[0] in planned.needs
        ]  # a method may start with another stage
        return [run.path for run in same if depends_on(run.recipe) == wanted]

    def notes(self) -> list[str]:
        """Return notes about runs in the folder that are not used, one sentence each."""
        if not (others := [folder.name for folder in self._begun(current=False)]):
            return []
        why = f"Runs of other numerics than {NUMERICS}, whose seeds now give other results, are not used"
        return [f"{why}: {', '.join(others)}."]

    def _begun(self, *, current: bool) -> list[Path]:
        """Return folders of runs with a complete stage, of the current or of other numerics."""
        begun = sorted({file.parents[1] for file in self.path.glob("*/*/complete.json")})
        return [folder for folder in begun if (recorded_numerics(folder) == str(NUMERICS)) == current]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder until the block ends.

        Raises:
            RunError: If another process uses the folder; the message names it.
        """
        holder = self.path / ".holder.json"
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            with storage_errors(self.path):
                lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"{self.path} is used by another process: {_described(holder)}",
                hint="Wait until it ends, or choose another folder: --folder FOLDER",
            ) from None
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            write_json(holder, {"pid": os.getpid(), "host": platform.node(), "since": since})
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()


def _described(holder: Path) -> str:
    try:
        return read_json(holder, lambda who: f"process {who['pid']} on {who['host']}, since {who['since']}")
    except RunError:  # the file is written after the lock is taken
        return "unknown process"
