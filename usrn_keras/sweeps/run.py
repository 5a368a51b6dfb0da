"""Starting a run of a family in a process of its own, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from usrn_keras.files import storage_errors
from usrn_keras.progress import Progress
from usrn_keras.sweeps.child import INTERRUPTED
from usrn_keras.sweeps.plan import PlannedRun
from usrn_keras.sweeps.relay import follow

CHILD = Path(__file__).with_name("child.py")


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        failure: Why it failed; "" where it did not.
        interrupted: Whether it was asked to stop, and goes on when it is started again.
        seconds: How long the process took.
    """

    failure: str = ""
    interrupted: bool = False
    seconds: float = 0.0


class RunProcess:
    """A run under way. What it says, and why it failed, stands in a log beside its folder.

    Args:
        planned: What to do.
        folder: Where.
        reuse: Folders of runs whose stages may be taken over.
        variables: Of its environment, besides our own.
    """

    def __init__(
        self, planned: PlannedRun, folder: Path, reuse: Sequence[Path], variables: Mapping[str, str]
    ):
        self.planned = planned
        self._log = folder.with_name(f"{folder.name}.log")  # rows such as 0.55 have dots
        with storage_errors(self._log):
            self._errors = open(self._log, "a", encoding="utf-8")  # noqa: SIM115
        # A session of its own: Ctrl-C in a terminal reaches it once, through `interrupt`.
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
            env={**os.environ, **variables},
        )
        self._started = time.monotonic()
        order = {
            "recipe": planned.recipe.model_dump(),
            "name": planned.recipe.name,
            "folder": str(folder),
            "reuse": [str(path) for path in reuse if path != folder],
        }
        with contextlib.suppress(OSError):  # it is dead already; its exit code tells
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()

    def interrupt(self) -> None:
        """Ask it to write its checkpoint and stop; a second time, to stop at once."""
        with contextlib.suppress(OSError):
            self._process.send_signal(signal.SIGINT)

    def finish(self, progress: Progress) -> Ended:
        """Show its progress until it ends."""
        with self._errors, self._process:  # closes its pipes, too
            for line in follow(self._process.stdout, self.planned.name, progress):
                self._errors.write(line + "\n")
                self._errors.flush()
        code = self._process.returncode
        seconds = time.monotonic() - self._started
        if code == INTERRUPTED:
            return Ended(interrupted=True, seconds=seconds)
        return Ended(self._why(code), seconds=seconds) if code else Ended(seconds=seconds)

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def _why(self, code: int) -> str:
        lines = [line for line in self._log.read_text(encoding="utf-8").splitlines() if line.strip()]
        errors = [index for index, line in enumerate(lines) if line.startswith("error: ")]
        if code < 0:
            return f"killed by {signal.Signals(-code).name}; {self._log} tells more"
        if not errors:
            return f"exit code {code}; {self._log} tells more"
        return "\n".join(lines[errors[-1] :]).removeprefix("error: ")
