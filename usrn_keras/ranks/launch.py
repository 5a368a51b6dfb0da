"""Start the processes of a run on this machine, as torchrun does, and wait for their end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import IO

from usrn_keras.interrupts import SIGNALS
from usrn_keras.ranks.launcher_variables import TORCHRUN

END_SECONDS = 15.0  # that the other processes have to end after the first one to end
POLL_SECONDS = 0.1


def run_processes(command: Sequence[str], count: int, gpus: Sequence[str] = ()) -> int:
    """Run a command in several processes on this machine that find each other, and wait for their end.

    Ctrl-C, SIGTERM and SIGHUP go to all of them, unless they are ignored here. If one fails, the others are
    ended, too.

    Args:
        command: Program with its arguments.
        count: Number of processes.
        gpus: Identifiers of GPUs, one for each process; empty for the CPU.

    Returns:
        Exit code of the first process, or of the first that failed.
    """
    port = str(_free_port())
    with tempfile.TemporaryFile("w+") as others:
        processes = []
        for rank in range(count):
            # A process that sees one GPU takes the first one.
            values = (str(rank), str(count), "0" if gpus else str(rank), "127.0.0.1", port)
            variables = {**os.environ, **dict(zip(TORCHRUN, values, strict=True))}
            if gpus:
                variables["CUDA_VISIBLE_DEVICES"] = gpus[rank]
            streams = {} if rank == 0 else {"stdout": others, "stderr": others}
            # Sessions of their own: Ctrl-C in the terminal reaches this process alone, which passes it on.
            processes.append(subprocess.Popen(command, env=variables, start_new_session=True, **streams))
        return _wait(processes, others)


def _wait(processes: Sequence[subprocess.Popen], others: IO[str]) -> int:
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for process in processes:
            process.send_signal(number)

    heard = [
        number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN
    ]  # as `nohup` wants
    before = {number: signal.signal(number, pass_on) for number in heard}
    try:
        while processes[0].poll() is None and (asked or not _failed(processes)):
            time.sleep(POLL_SECONDS)
        first = _failed(processes)
        _until(lambda: all(process.poll() is not None for process in processes), END_SECONDS)
        failed = _failed(processes)
        if not failed:
            return 0
        # The first process says itself what is wrong, and the others often find the same.
        leads = asked or (0 in failed and (not first or processes[first[0]].returncode > 0))
        rank = 0 if leads and 0 in failed else (first or failed)[0]
        code = processes[rank].returncode
        if rank != 0 or code < 0:
            _report(rank, processes, others)
        return 128 - code if code < 0 else code
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _failed(processes: Sequence[subprocess.Popen]) -> list[int]:
    """Numbers of the processes that have failed."""
    return [rank for rank, process in enumerate(processes) if process.poll() not in (0, None)]


def _report(rank: int, processes: Sequence[subprocess.Popen], others: IO[str]) -> None:
    """Say which process failed, with the last lines of those that have no terminal."""
    code = processes[rank].returncode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"failed with exit code {code}"
    others.seek(0)
    for line in others.read().splitlines()[-20:]:
        print(line, file=sys.stderr)
    print(
        f"process {rank} of {len(processes)} {how}; run the same command again to resume from the last "
        "checkpoint",
        file=sys.stderr,
    )


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
