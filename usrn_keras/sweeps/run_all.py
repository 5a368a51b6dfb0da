"""Doing what is missing of a plan: one process for each run, several at a time, each stage once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from types import FrameType

from usrn_keras.machine import usable_cores
from usrn_keras.progress import Progress
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import SHARED_STAGES, PlannedRun
from usrn_keras.sweeps.run import Ended, RunProcess


def execute(runs: Sequence[PlannedRun], family: Family, *, jobs: int, progress: Progress) -> dict[str, Ended]:
    """Do runs, and give how each ended, by its key. One that fails does not keep the others from going on.

    A run waits while another one is at a stage that both share, and takes it over then.

    Args:
        runs: What is to be done, in this order where nothing forbids it.
        family: Where; locked by the caller.
        jobs: Most runs at a time.
        progress: Shows each run's stages and how many runs are done.

    Raises:
        KeyboardInterrupt: After Ctrl-C or SIGTERM, once the runs under way have written their checkpoints.
    """
    crew = _Crew(family, progress, _variables(jobs))
    waiting, ended = list(runs), {}
    with (
        crew.stopped_by_signals(),
        ThreadPoolExecutor(jobs) as threads,
        progress.task("runs", total=len(runs)) as task,
    ):
        under_way: dict[Future[Ended], PlannedRun] = {}
        while waiting or under_way:
            while not crew.asked_to_stop and len(under_way) < jobs:
                ready = _next(waiting, list(under_way.values()), family)
                if ready is None:
                    break
                waiting.remove(ready)
                under_way[threads.submit(crew.do, ready)] = ready
            if not under_way:  # asked to stop
                break
            # With a time limit: a wait without one keeps signals from being handled.
            done, _ = wait(under_way, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                planned = under_way.pop(future)
                ended[planned.key] = future.result()
                if ended[planned.key].failure:
                    first, *_ = ended[planned.key].failure.splitlines()
                    progress.log(f"{planned.name} failed: {first}")
                if not ended[planned.key].interrupted:
                    task.advance()
    if crew.asked_to_stop:
        raise KeyboardInterrupt("interrupted, checkpoints written; run the same command again to go on")
    return ended


def _next(
    waiting: Sequence[PlannedRun], under_way: Sequence[PlannedRun], family: Family
) -> PlannedRun | None:
    """The first run that would not do what one under way is doing."""
    for planned in waiting:
        if not any(_in_the_way(planned, other, family) for other in under_way):
            return planned
    return None


def _in_the_way(planned: PlannedRun, other: PlannedRun, family: Family) -> bool:
    shared = [s for s in SHARED_STAGES if s in planned.needs and planned.needs.get(s) == other.needs.get(s)]
    return any(not family.has(other, stage) and not family.has(planned, stage) for stage in shared)


@dataclass
class _Crew:
    """The processes under way, and the signal that stops them."""

    family: Family
    progress: Progress
    variables: dict[str, str]
    asked_to_stop: bool = False
    _processes: list[RunProcess] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def do(self, planned: PlannedRun) -> Ended:
        """A run from where it is to its end, or to the interruption."""
        with self._guard:
            if self.asked_to_stop:
                return Ended(interrupted=True)
            folder = self.family.folder(planned)
            process = RunProcess(planned, folder, self.family.donors(), self.variables)
            self._processes.append(process)
        try:
            return process.finish(self.progress)
        finally:
            with self._guard:
                self._processes.remove(process)

    @contextlib.contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop every process; whatever else ends the block ends them, too."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        main = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._stop) for number in numbers} if main else {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for process in self._processes:
                process.kill()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.asked_to_stop = True
        for process in list(self._processes):
            process.interrupt()


def _variables(jobs: int) -> dict[str, str]:
    """What keeps several runs on one machine out of each other's way."""
    if jobs == 1:
        return {}
    threads = str(max(1, usable_cores() // jobs))
    ours = {"OMP_NUM_THREADS": threads, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {name: os.environ.get(name, value) for name, value in ours.items()}
