"""Run what a plan lacks: a process for each run, several at a time, each shared stage once."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from usrn_keras.backends import prepare_backend
from usrn_keras.errors import USRNError
from usrn_keras.interrupts import deferred_interrupts, interrupt_requested, owned_signals
from usrn_keras.machine import gpus_by_identifier, has_nvidia_gpu, usable_cores
from usrn_keras.progress import Progress, Task
from usrn_keras.recipe import build_recipe
from usrn_keras.stages import fit
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.plan import PlannedRun
from usrn_keras.worker import Worker, WorkerError

TARGET = "usrn_keras.sweeps.run_all:fit_run"  # what each process runs
POLL_SECONDS = 0.1


def run_all(runs: Sequence[PlannedRun], family: Family, *, jobs: int, progress: Progress) -> dict[str, str]:
    """Do the runs. One that fails does not stop the others.

    A run waits while another one is at a stage that both share, and reuses it then. On a machine with NVIDIA
    GPUs several runs at a time get one GPU each, as far as there are as many.

    Args:
        runs: The runs to do, in this order where nothing forbids it.
        family: Their folder; locked by the caller.
        jobs: Maximum number of runs at a time.
        progress: Shows the stages of each run and how many runs are done.

    Returns:
        Why runs failed, by the name of the run.

    Raises:
        KeyboardInterrupt: After Ctrl-C, SIGTERM or SIGHUP, once the runs under way have written their
            checkpoints; a second signal ends them at once.
    """
    waiting, failures = list(runs), {}
    under_way: list[_RunProcess] = []
    gpus = list(gpus_by_identifier()) if jobs > 1 and has_nvidia_gpu() else []
    with (
        owned_signals(),
        deferred_interrupts(),
        contextlib.ExitStack() as processes,
        progress.task("runs", total=len(runs)) as task,
    ):
        while under_way or (waiting and not interrupt_requested()):
            while not interrupt_requested() and len(under_way) < jobs:
                if (planned := _next(waiting, under_way, family)) is None:
                    break
                waiting.remove(planned)
                slot = _first_free([process.slot for process in under_way])
                environment = _environment(jobs, gpus, slot)
                process = _RunProcess(planned, family, slot, environment, progress)
                under_way.append(processes.enter_context(process))
            for process in list(under_way):
                if interrupt_requested():
                    process.interrupt()
                if process.has_ended():
                    under_way.remove(process)
                    if process.failure:
                        failures[process.planned.name] = process.failure
                        progress.log(f"{process.planned.name} failed: {process.failure.splitlines()[0]}")
                    if not interrupt_requested():
                        task.advance()
        if interrupt_requested():
            raise KeyboardInterrupt("interrupted, checkpoints written; run the same command again to resume")
    return failures


def _next(
    waiting: Sequence[PlannedRun], under_way: Sequence[_RunProcess], family: Family
) -> PlannedRun | None:
    """The first run that shares no missing stage with a run under way."""

    def must_wait(planned: PlannedRun, other: PlannedRun) -> bool:
        shared = [stage for stage, key in planned.needs.items() if other.needs.get(stage) == key]
        return any(not family.has(other, stage) and not family.has(planned, stage) for stage in shared)

    free = (run for run in waiting if not any(must_wait(run, process.planned) for process in under_way))
    return next(free, None)


class _RunProcess(contextlib.ExitStack):
    """A run under way. Its log, with the traceback if it fails, is the file `NAME.log` beside its folder.

    Leaving its `with` block kills the process if it still runs.

    Attributes:
        planned: The run.
        slot: Number of the place that it takes among the runs at the same time.
        failure: Why it failed; "" if it did not.
    """

    def __init__(
        self,
        planned: PlannedRun,
        family: Family,
        slot: int,
        environment: Mapping[str, str],
        progress: Progress,
    ):
        super().__init__()
        self.planned, self.slot, self.failure = planned, slot, ""
        self._progress, self._interrupted = progress, False
        self._task: Task | None = None
        self._task_block = self.enter_context(contextlib.ExitStack())
        folder = family.folder(planned)
        order = {
            "recipe": planned.recipe.model_dump(),
            "name": planned.recipe.name,
            "folder": str(folder),
            "reuse": [str(donor) for donor in family.donors(planned)],
        }
        self._log = folder.with_name(f"{folder.name}.log")  # names such as 0.55 have dots
        worker = Worker(TARGET, order, environment, self._show, log=self._log)
        self._worker = self.enter_context(worker)

    def interrupt(self) -> None:
        """Ask the process to write its checkpoint and stop, once."""
        if not self._interrupted:
            self._worker.interrupt()
        self._interrupted = True

    def has_ended(self) -> bool:
        """Wait a moment for the end of the run, and show its progress."""
        try:
            self._worker.result(POLL_SECONDS)
        except TimeoutError:
            return False
        except KeyboardInterrupt:
            self.failure = "" if self._interrupted else "the process was interrupted"
        except USRNError as error:
            self.failure = str(error)
        except WorkerError as error:
            self.failure = f"{error.reason}; see {self._log}"
        self.close()
        return True

    def _show(self, message: dict) -> None:
        """Show a message of `_SentProgress`."""
        if "advance" in message:
            self._task.advance(message["advance"], **message["numbers"])
            return
        self._task_block.close()
        if "task" in message:
            title = f"{self.planned.name} {message['task']}"
            shown = self._progress.task(title, message["total"], message["done"])
            self._task = self._task_block.enter_context(shown)


def _first_free(taken: Sequence[int]) -> int:
    """The lowest number from 0 that is not among some numbers."""
    return next(number for number in itertools.count() if number not in taken)


def _environment(jobs: int, gpus: Sequence[str] = (), slot: int = 0) -> dict[str, str]:
    """Variables that keep several runs on one machine from disturbing each other.

    Args:
        jobs: Maximum number of runs at a time.
        gpus: Identifiers of the GPUs that this process sees.
        slot: Number of the place that the run takes among those at the same time.
    """
    if jobs == 1:
        return {}
    ours = {"OMP_NUM_THREADS": str(max(1, usable_cores() // jobs))}
    if jobs > len(gpus):  # runs share a GPU
        ours["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    found = {name: os.environ.get(name, value) for name, value in ours.items()}
    return found | ({"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {})


def fit_run(order: dict, send: Callable[[dict], None]) -> dict:
    """Do one run in a process of its own; see `usrn_keras.worker`.

    Args:
        order: `recipe`: its values; `name`: of the recipe; `folder`: of the run; `reuse`: folders of other
            runs whose stages may be reused.
        send: Sends the progress of the run to the parent.
    """
    prepare_backend()
    recipe, progress = build_recipe(order["recipe"], order["name"]), _SentProgress(send)
    fit(recipe, order["folder"], reuse=order["reuse"], progress=progress, log=progress.log)
    return {}


class _SentProgress:
    """A `Progress` that the parent process shows; lines of text go to the log of the run."""

    def __init__(self, send: Callable[[dict], None]):
        self._send = send

    @contextlib.contextmanager
    def task(self, description: str, total: int, done: int = 0) -> Iterator[Task]:
        self._send({"task": description, "total": total, "done": done})
        yield self
        self._send({"end": description})

    def advance(self, n: int = 1, /, **numbers: float) -> None:
        numbers = {name: float(value) for name, value in numbers.items()}
        self._send({"advance": n, "numbers": numbers})

    def log(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)
