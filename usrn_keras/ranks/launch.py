"""Start the processes of a run on this machine, or read the variables of a launcher that started them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import IO

from usrn_keras.errors import BackendError
from usrn_keras.interrupts import SIGNALS
from usrn_keras.machine import gpus_by_identifier, has_nvidia_gpu
from usrn_keras.ranks.ranks import ALONE, Ranks

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # of torchrun
END_SECONDS = 15.0  # that the other processes have to end after the first one to end
POLL_SECONDS = 0.1


def launched_ranks(environment: Mapping[str, str] = os.environ) -> Ranks:
    """Read which process this is from the variables that torchrun sets.

    Args:
        environment: Environment variables.

    Returns:
        Place of the process; `ALONE` without the variables.

    Raises:
        BackendError: Some of the variables are missing or are no numbers.

    Example:

    >>> launched_ranks({})
    Ranks(rank=0, world=1)
    """
    if not (environment.get("RANK") or environment.get("WORLD_SIZE")):
        return ALONE
    errors = [f"{name}: missing" for name in VARIABLES if not environment.get(name)]
    numbers = {
        name: environment[name] for name in VARIABLES if name != "MASTER_ADDR" and environment.get(name)
    }
    errors += [
        f"{name}: must be a number, received {value!r}"
        for name, value in numbers.items()
        if not value.isdigit()
    ]
    if not errors and int(numbers["RANK"]) >= int(numbers["WORLD_SIZE"]):
        errors.append(f"RANK: must be below WORLD_SIZE = {numbers['WORLD_SIZE']}, received {numbers['RANK']}")
    if errors:
        raise BackendError(
            "the variables of a launcher of several processes are set in part",
            errors=errors,
            hint="Start with torchrun, which sets all of them; for one process: unset RANK WORLD_SIZE",
        )
    return Ranks(int(numbers["RANK"]), int(numbers["WORLD_SIZE"]))


def claim_gpu() -> None:
    """Let a process that a launcher started see one GPU alone, that of its place on this machine.

    Call it before a backend is loaded.

    Raises:
        BackendError: There are more processes on this machine than GPUs.
    """
    if launched_ranks() is ALONE or not (has_nvidia_gpu() and (gpus := list(gpus_by_identifier()))):
        return
    place = int(os.environ["LOCAL_RANK"])
    if place >= len(gpus):
        raise BackendError(
            f"LOCAL_RANK = {place}, but this machine has {len(gpus)} GPUs",
            hint=f"Start at most {len(gpus)} processes on it: torchrun --nproc-per-node {len(gpus)}",
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place]


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
            variables = {**os.environ, **dict(zip(VARIABLES, values, strict=True))}
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
