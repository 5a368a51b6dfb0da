"""The folder of a family: its runs, found by what they compute, and who is at work in it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import filelock

from usrn_keras.errors import RunError
from usrn_keras.files import read_json, storage_errors, write_json
from usrn_keras.runs import Run, open_run
from usrn_keras.stages.measure import known_results
from usrn_keras.sweeps.plan import SHARED_STAGES, PlannedRun


@dataclass(frozen=True)
class Family:
    """A folder with the runs of one or several tables.

    Args:
        path: The folder.
    """

    path: Path

    def folder(self, planned: PlannedRun) -> Path:
        """Where a run lies, whatever row it was made for; where it will lie if it is not there."""
        found = sorted(self.path.glob(f"*-{planned.key}"))
        return found[0] if found else self.path / planned.name

    def run(self, planned: PlannedRun) -> Run | None:
        """A run as far as it is; None before it has begun."""
        folder = self.folder(planned)
        return open_run(folder) if (folder / "dataset.json").exists() else None

    def has(self, planned: PlannedRun, stage: str) -> bool:
        """Whether a stage of a run is complete."""
        run = self.run(planned)
        return run is not None and run.is_complete(stage)

    def is_done(self, planned: PlannedRun) -> bool:
        """Whether nothing of a run is left to do: trained, and measured as its recipe says."""
        run = self.run(planned)
        if run is None or not all(map(run.is_complete, planned.needs)):
            return False
        return known_results(run, planned.recipe, planned.contents) is not None

    def donors(self) -> list[Path]:
        """Folders of the runs that have a stage which others may share."""
        complete = {
            file.parents[1] for stage in SHARED_STAGES for file in self.path.glob(f"*/{stage}/complete.json")
        }
        return sorted(complete)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder until the block ends.

        Raises:
            RunError: Another process is at work in it; it is named.
        """
        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path / ".lock", timeout=0)
        try:
            with storage_errors(self.path):
                lock.acquire()
        except filelock.Timeout:
            raise RunError(
                f"another process is at work in {self.path}: {self._holder()}",
                hint="Wait for it, or choose another folder: --folder FOLDER",
            ) from None
        try:
            holder = {
                "pid": os.getpid(),
                "host": platform.node(),
                "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            }
            write_json(self._holder_file, holder)
            yield
        finally:
            self._holder_file.unlink(missing_ok=True)
            lock.release()

    @property
    def _holder_file(self) -> Path:
        return self.path / ".holder.json"

    def _holder(self) -> str:
        try:
            who = read_json(self._holder_file)
            return f"process {who['pid']} on {who['host']}, since {who['since']}"
        except (OSError, json.JSONDecodeError, KeyError):
            return "it has not said who it is yet"
