"""Start attacked commands: forked from this process, which has loaded the backend, or as new processes."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.attacks.victim import Attack, run_attacked
from tests.tools import ROOT

MOST_SECONDS = 1800.0  # of a command, on a busy machine


class Ended(NamedTuple):
    """How a command ended.

    Attributes:
        code: Exit code; negative if a signal ended it.
        text: What it wrote to standard output and standard error.
        cpu: Its CPU time in seconds.
        cpu_after_signal: CPU seconds from a signal of `at_cpu` to the end; None if it ended before.
    """

    code: int
    text: str
    cpu: float
    cpu_after_signal: float | None = None


class Signal(NamedTuple):
    """A signal from outside at a CPU time of the command in seconds."""

    number: int
    at_cpu: float


def run_usrn(
    words: Sequence[object],
    folder: Path,
    *,
    attack: Attack | None = None,
    sent: Signal | None = None,
    forks: bool = True,
    events: list[str] | None = None,
) -> Ended:
    """Run `usrn` in another process and wait for its end.

    Args:
        words: Words of the command.
        folder: Folder whose changes count for `attack`.
        attack: Attack from inside.
        sent: Signal from outside.
        forks: Whether to fork this process; else Python starts again.
        events: Receives the path of each change below the folder, if the command is not attacked.
    """
    texts, log = list(map(str, words)), folder.with_name(f"{folder.name}.out")
    record = folder.with_name(f"{folder.name}.events")
    if events is not None:
        attack = Attack("", -1)
    if forks:
        pid = _fork(lambda: _child(texts, folder, attack, record if events is not None else None), log)
    else:
        action = "none" if attack is None else attack.action or "record"
        order = [str(folder), action, str(attack.at if attack else 0), *texts]
        with open(log, "wb") as output:
            command = [sys.executable, "-m", "tests.attacks.victim", *order]
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=output, stderr=output, stdin=subprocess.DEVNULL
            )
            pid = process.pid
    code, cpu, after = _wait(pid, sent)
    if events is not None:
        events += record.read_text().splitlines()
    return Ended(code, log.read_text(errors="replace"), cpu, after)


def _child(words: Sequence[str], folder: Path, attack: Attack | None, record: Path | None) -> int:
    if record is None:
        return run_attacked(words, folder, attack)
    before = set(sys.modules)
    with open(record, "w") as log:
        code = run_attacked(words, folder, attack, lambda path: print(path, file=log, flush=True))
    new = [name for name in sys.modules if name not in before]
    folder.with_name(f"{folder.name}.modules").write_text("\n".join(new))
    return code


def preload(folder: Path) -> None:
    """Import the modules that a recorded command in a folder has loaded, once for all forks."""
    for name in folder.with_name(f"{folder.name}.modules").read_text().splitlines():
        with contextlib.suppress(Exception):  # a module that only works within its program
            importlib.import_module(name)


def _fork(work: Callable[[], int], log: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    code = 1
    try:
        code = work()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, sent: Signal | None) -> tuple[int, float, float | None]:
    """Wait for a child; returns its exit code, its CPU seconds, and those after the signal."""
    deadline, at_signal, now = time.monotonic() + MOST_SECONDS, None, 0.0
    process = psutil.Process(pid)
    started = _cpu(process)
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            cpu = used.ru_utime + used.ru_stime - started
            return os.waitstatus_to_exitcode(status), cpu, None if at_signal is None else cpu - at_signal
        now = max(now, _cpu(process) - started)
        if sent is not None and at_signal is None and now >= sent.at_cpu:
            at_signal = now
            os.kill(pid, sent.number)
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.005 if sent else 0.02)


def _cpu(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        times = process.cpu_times()
        return times.user + times.system
    return 0.0
