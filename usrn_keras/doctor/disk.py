"""Disks: where runs and downloads go, how much is free there, how fast it is written."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from usrn_keras.doctor.findings import NOTE, Finding
from usrn_keras.errors import StorageError
from usrn_keras.subclasses.feature_store import in_words

CHUNK = 8 * 10**6  # bytes between two fsyncs: so much is written at least, and an end is found in time
MOST = 64 * 10**6  # bytes in all
SECONDS = 2.0
LITTLE = 2 * 10**9  # a run with a ResNet-50 leaves about 1 GB
SLOW = 20e6  # bytes per second


@dataclass(frozen=True)
class Place:
    """A folder that is written to.

    Args:
        use: What for.
        folder: Where; it need not exist.
        free: Bytes; None where it is not told.
        rate: Bytes per second, with fsync; None if not measured.
        error: Why it cannot be written, or "".
    """

    use: str
    folder: Path
    free: int | None = None
    rate: float | None = None
    error: str = ""

    def line(self) -> str:
        """The place in a line."""
        if self.error:
            return f"{self.use}: {self.folder}: CANNOT BE WRITTEN: {self.error}"
        free = "" if self.free is None else f", {in_words(self.free)} free"
        rate = "" if self.rate is None else f", written at {in_words(int(self.rate))}/s with fsync"
        return f"{self.use}: {self.folder}{free}{rate}"


@dataclass(frozen=True)
class DiskSection:
    """Disks.

    Args:
        runs: Where the run folder will be.
        cache: Where drawn data sets are kept.
        downloads: Where Keras keeps downloaded weights.
        cache_needed: Whether training writes to the cache.
    """

    runs: Place
    cache: Place
    downloads: Place
    cache_needed: bool = False
    title = "disk"

    def lines(self) -> list[str]:
        """Each place."""
        return [place.line() for place in self._places()]

    def to_json(self) -> dict[str, Any]:
        """The same for machines."""
        return {
            name: asdict(place) | {"folder": str(place.folder)}
            for name, place in zip(("runs", "cache", "downloads"), self._places(), strict=True)
        }

    def findings(self) -> list[Finding]:
        """Places that cannot be written, are full, or slow."""
        return [*self._unwritable(), *self._little(), *self._slow()]

    def _places(self) -> tuple[Place, ...]:
        return (self.runs, self.cache, self.downloads)

    def _unwritable(self) -> list[Finding]:
        needed = {"runs": True, "cache": self.cache_needed, "downloads": False}
        advice = {
            "runs": "choose another folder: usrn fit RECIPE --run DIR, or work in another one",
            "cache": "export XDG_CACHE_HOME=DIR",
            "downloads": "export KERAS_HOME=DIR",
        }
        return [
            Finding(
                f"{name}_unwritable",
                f"{place.folder} ({place.use}) cannot be written: {place.error}",
                advice[name],
                error=StorageError if needed[name] else None,
            )
            for name, place in zip(needed, self._places(), strict=True)
            if place.error
        ]

    def _little(self) -> list[Finding]:
        free = self.runs.free
        if self.runs.error or free is None or free >= LITTLE:
            return []
        message = f"only {in_words(free)} are free for runs in {self.runs.folder}"
        advice = "free space there, or choose another disk: usrn fit RECIPE --run DIR"
        return [Finding("little_space", message, advice)]

    def _slow(self) -> list[Finding]:
        rate = self.runs.rate
        if rate is None or rate >= SLOW:
            return []
        message = f"{self.runs.folder} is written at {in_words(int(rate))}/s: checkpoints take long"
        return [Finding("slow_disk", message, "choose a local disk: usrn fit RECIPE --run DIR", level=NOTE)]


def look_at_disk(run_dir: Path, cache: Path, downloads: Path, *, cache_needed: bool = False) -> DiskSection:
    """The places as they are; nothing is left there.

    Args:
        run_dir: The run folder.
        cache: The folder of drawn data sets.
        downloads: Keras' folder.
        cache_needed: Whether training writes to the cache.
    """
    return DiskSection(
        look_at_place("runs", run_dir, measure=True),
        look_at_place("drawn data sets", cache),
        look_at_place("downloaded weights", downloads),
        cache_needed,
    )


def look_at_place(use: str, folder: Path, *, measure: bool = False) -> Place:
    """A folder, or the nearest one above it that exists: whether it can be written, and how fast."""
    folder = folder.expanduser().absolute()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        free = shutil.disk_usage(existing).free
        # Has no name where the system can do that: nothing stays, even if we are killed.
        with tempfile.TemporaryFile(dir=existing, buffering=0) as file:
            rate = _write_rate(file.fileno(), min(MOST, free // 4)) if measure else None
    except OSError as error:
        return Place(use, folder, error=error.strerror or str(error))
    return Place(use, folder, free, rate)


def _write_rate(file: int, most: int) -> float | None:
    """Bytes per second; a slow disk is left alone after some seconds."""
    chunk = os.urandom(CHUNK)  # zeros would be packed by some file systems
    written, started, spent = 0, time.perf_counter(), 0.0
    while written + CHUNK <= most and spent < SECONDS:
        written += os.write(file, chunk)
        os.fsync(file)
        spent = time.perf_counter() - started
    return written / spent if written else None


def keras_folder() -> Path:
    """Where Keras keeps its settings and what it downloads."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
