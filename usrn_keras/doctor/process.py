"""Trying in a process of its own what may break, hang or crash."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

SECONDS = 180.0  # what takes longer is reported instead of waited for


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        report: The JSON that it wrote; None if it failed.
        failure: The last line of its error, or "".
        lines: What it wrote to standard error.
    """

    report: Any
    failure: str
    lines: tuple[str, ...]


@dataclass
class Child:
    """A process under way."""

    process: subprocess.Popen
    out: IO[bytes]
    err: IO[bytes]
    started: float

    def finish(self, seconds: float = SECONDS) -> Ended:
        """Write it a line, for which it may be waiting, and wait for its end.

        Args:
            seconds: Most that it may take since it was started.
        """
        with contextlib.suppress(OSError):  # it has ended already
            self.process.stdin.write(b"\n")
            self.process.stdin.close()
        try:
            code = self.process.wait(max(1.0, self.started + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            return Ended(None, f"it has not ended after {seconds:.0f} seconds", ())
        lines = tuple(line.strip() for line in _text(self.err).splitlines() if line.strip())
        if code:
            return Ended(None, _failure(code, lines), lines)
        try:
            return Ended(json.loads(_text(self.out)), "", lines)
        except json.JSONDecodeError:
            return Ended(None, "it ended without a report", lines)


@contextlib.contextmanager
def start(script: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Run a file of Python; what is left of it when the block ends is killed.

    Args:
        script: The file. It writes JSON to standard output, and nothing else.
        arguments: Its arguments.
        environment: Variables besides our own.
    """
    # -P: a file in the working directory that is called as a module must not take its place.
    command = [sys.executable, "-P", str(script), *arguments]
    variables = {**os.environ, **(environment or {})}
    # Into files: of two pipes, one could fill up while the other is read.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err, env=variables)
        try:
            yield Child(process, out, err, time.monotonic())
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(OSError):
                process.stdin.close()


def _failure(code: int, lines: tuple[str, ...]) -> str:
    last = lines[-1] if lines else f"exit code {code}"
    return last if code > 0 else f"killed by {signal.Signals(-code).name}: {last}"


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
