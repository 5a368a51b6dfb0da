"""Parts of a long measurement that skip what is measured already and stop in time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import table

ROOT = Path(__file__).parents[1]
LEAST_SECONDS = 20  # a part is not started with less time left
GRACE_SECONDS = 25  # time that an interrupted part has to end


@dataclass(frozen=True)
class Part:
    """A process of a command.

    Attributes:
        name: Its name in messages.
        command: Arguments of the Python interpreter.
        csv: Name of the file of its rows.
        rows: Columns and values of each row that it writes; it is complete when all of them are in the file.
        environment: Environment variables in addition to those of this process.
        after: Called after its success, for a process that does not write rows itself.
    """

    name: str
    command: Sequence[str]
    csv: str
    rows: Sequence[Mapping[str, object]]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: Callable[[], None] = lambda: None

    def is_complete(self, out: Path) -> bool:
        """Whether all of its rows are there."""
        known = table.read(out / self.csv)
        return all(any(_is_in(wanted, row) for row in known) for wanted in self.rows)


def _is_in(wanted: Mapping[str, object], row: Mapping[str, str]) -> bool:
    return all(row.get(column) == str(value) for column, value in wanted.items())


def run_part(part: Part, seconds: float) -> int | None:
    """Run a part; its exit code, or None if the time was over and it was interrupted."""
    environment = {**os.environ, **part.environment}
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background; the part would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen([sys.executable, *part.command], cwd=ROOT, env=environment) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)  # usrn fit writes its checkpoint
        except KeyboardInterrupt:  # the terminal has interrupted the part, too
            seconds = 0
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        if not seconds:
            raise KeyboardInterrupt
        return None


def run_command(parts: Sequence[Part], out: Path, minutes: float) -> int:
    """Run the parts that are not complete until the minutes are over.

    Returns:
        0: all parts are complete; 1: a part failed; 3: run the command again.
    """
    deadline = time.monotonic() + 60 * minutes - GRACE_SECONDS
    failed, left = [], []
    for part in parts:
        if part.is_complete(out):
            print(f"{part.name}: complete, skipped", flush=True)
            continue
        remaining = deadline - time.monotonic()
        if remaining < LEAST_SECONDS:
            left.append(part.name)
            continue
        print(f"{part.name}: started, {remaining:.0f} s left", flush=True)
        code = run_part(part, remaining)
        if code is None:
            left.append(part.name)
            continue
        if code == 0 or part.csv == "tests.csv":  # failed tests are a result
            part.after()
        if code or not part.is_complete(out):
            failed.append(f"{part.name} (exit code {code})")
    if failed:
        print(f"failed: {', '.join(failed)}", flush=True)
        return 1
    if left:
        print(f"run the same command again; left: {', '.join(left)}", flush=True)
        return 3
    print("complete", flush=True)
    return 0
