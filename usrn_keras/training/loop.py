"""Training loop: resumes from a checkpoint, and runs to the end or until interrupted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from usrn_keras.backends import CompiledStep, fetch
from usrn_keras.errors import DivergedError
from usrn_keras.interrupts import (
    allowed_interrupts,
    check_interrupt,
    deferred_interrupts,
    interrupt_requested,
    owned_signals,
)
from usrn_keras.methods import Method
from usrn_keras.optimizers.learning_rates import rate_at
from usrn_keras.progress import SILENT, Progress, Task
from usrn_keras.ranks import ALONE, Ranks
from usrn_keras.training.callbacks import Callback
from usrn_keras.training.checkpoint import load_checkpoint, save_checkpoint


class BatchSource(Protocol):
    """Source of batches by step, such as `usrn_keras.data.Batches`."""

    def iterate(self, start_step: int, stop_step: int) -> Any: ...

    def names(self, step: int) -> list[str]: ...


@dataclass
class Loop:
    """Trains a compiled method for a number of steps; resumable.

    Args:
        model: Compiled method to train.
        batches: Source of batches; a batch must depend only on its step.
        steps: Number of the step after the last.
        checkpoint: Path of the checkpoint; training resumes from it if it exists.
        begin: Number of the first step if there is no checkpoint.
        checkpoint_seconds: Maximum time between two checkpoints, in seconds.
        log_every: Number of steps between two records, the means over these steps; the first step has one,
            too. Interruptions and checkpoints do not change them. Values are fetched from the device then.
        record: Function called with each record, a flat dict of numbers.
        rewind: Function called with the step that training resumes from, before any record.
        callbacks: Callbacks called after the steps at which they are due; the checkpoint is written first.
        progress: Progress display.
        description: Description of the progress bar.
        devices: Number of devices of this process to train on.
        ranks: Processes that train together. They stop at the same step; the first one writes checkpoints,
            and the others have no `record` and no callbacks.

    Raises:
        DivergedError: If a loss is not finite; the message names the step and the images.
        KeyboardInterrupt: After Ctrl-C, SIGTERM or SIGHUP, with the checkpoint written.
    """

    model: Method
    batches: BatchSource
    steps: int
    checkpoint: Path
    begin: int = 0
    checkpoint_seconds: float = 300
    log_every: int = 20
    record: Callable[[dict[str, float]], None] = lambda numbers: None
    rewind: Callable[[int], None] = lambda step: None
    callbacks: Sequence[Callback] = ()
    progress: Progress = SILENT
    description: str = "training"
    devices: int = 1
    ranks: Ranks = ALONE
    _pending: list[tuple[int, dict[str, Any]]] = field(default_factory=list, init=False)  # on the device
    _fetched: list[tuple[int, dict[str, float]]] = field(default_factory=list, init=False)  # without a record
    _window: float = field(default=0.0, init=False)
    _window_seconds: float = field(default=0.0, init=False)  # of the steps in `_fetched`
    _seconds: float = field(default=0.0, init=False)
    _shown: dict[str, float] = field(default_factory=dict, init=False)

    def run(self) -> None:
        """Train until the last step."""
        check_interrupt()
        start = self._restore()
        # Before the callbacks: their measurements round by the layout of the kernels.
        step_function = CompiledStep(self.model, self.devices)
        self.rewind(start)
        if start >= self.steps:
            return
        with (
            owned_signals(),
            self.progress.task(
                self.description, total=self.steps - self.begin, done=start - self.begin
            ) as task,
            deferred_interrupts(),
        ):
            self._window = saved = time.monotonic()
            for step, batch in enumerate(self.batches.iterate(start, self.steps), start=start):
                if self.model.inputs.progress:
                    batch = {**batch, "progress": np.float32(step / self.steps)}
                self._pending.append((step, step_function(batch)))
                done = step + 1
                last = done == self.steps
                due = [callback for callback in self.callbacks if callback.due(done)]
                overdue = time.monotonic() - saved > self.checkpoint_seconds
                stops, save = self.ranks.agree(interrupt_requested(), bool(due) or overdue)
                if step == start or last or stops or save:
                    self.ranks.check_equal(self.model.variables, done)
                if last or done % self.log_every == 0 or step == self.begin:
                    self._record(task, batch)
                if last or stops or save:
                    self._fetch(task)
                    if self.ranks.writes:
                        save_checkpoint(self.checkpoint, self.model, done, **self._facts())
                    self.ranks.keep_own_values([*self.model.variables, *self.model.optimizer.variables])
                    saved = time.monotonic()
                for callback in () if stops else due:
                    # The checkpoint is written, so it may stop at any moment, unless other processes wait.
                    with allowed_interrupts() if self.ranks.world == 1 else contextlib.nullcontext():
                        callback.after_step(done)
                    self._window = time.monotonic()  # exclude the callback from the training time
                if stops:  # also after the last step, because later work may take long
                    raise KeyboardInterrupt(
                        f"interrupted after step {done} of {self.steps} of {self.description}, "
                        "checkpoint written; run the same command again to resume"
                    )

    @property
    def seconds(self) -> float:
        """Training time in seconds, including interrupted sessions and excluding callbacks."""
        return self._seconds

    def _restore(self) -> int:
        if not self.checkpoint.exists():
            return self.begin
        facts = load_checkpoint(self.checkpoint, self.model)
        self._seconds = facts["seconds"]
        self._window_seconds = facts.get("window_seconds", 0.0)  # the first versions had no open windows
        self._fetched = [(step, values) for step, values in facts.get("window", [])]
        return facts["step"]

    def _facts(self) -> dict[str, Any]:
        """What a checkpoint holds besides the variables: times, and the steps that have no record yet."""
        return {
            "seconds": round(self._seconds, 3),
            "window_seconds": round(self._window_seconds, 3),
            "window": self._fetched,
        }

    def _fetch(self, task: Task) -> None:
        """Fetch the pending loss terms from the device, and check them."""
        if not self._pending:
            return
        steps, kept = zip(*self._pending, strict=True)
        terms = list(zip(steps, fetch(kept), strict=True))
        self._pending.clear()
        for step, values in terms:
            self._check_finite(step, values)
        now = time.monotonic()
        elapsed, self._window = now - self._window, now
        self._seconds += elapsed
        self._window_seconds += elapsed
        self._fetched += terms
        task.advance(len(terms), **self._shown)

    def _record(self, task: Task, batch: Mapping[str, np.ndarray]) -> None:
        """Record the means over the steps since the last record."""
        self._fetch(task)
        terms, seconds = self._fetched, max(self._window_seconds, 1e-6)  # as coarse as the clock
        numbers = {name: float(np.mean([values[name] for _, values in terms])) for name in terms[0][1]}
        images = len(terms) * self.model.images_per_step(batch) * self.ranks.world
        speed = images / seconds
        self._shown = {name: numbers[name] for name in numbers if name in SHOWN}
        self._shown["images_per_second"] = speed
        task.advance(0, **self._shown)
        self._fetched, self._window_seconds = [], 0.0
        self.record(
            {
                "step": terms[-1][0] + 1,
                **numbers,
                "images_per_second": speed,
                "seconds_per_step": seconds / len(terms),
                "learning_rate": rate_at(self.model.optimizer, terms[-1][0]),
            }
        )

    def _check_finite(self, step: int, values: dict[str, float]) -> None:
        broken = [name for name, value in values.items() if not np.isfinite(value)]
        if not broken:
            return
        kept = f"The last good checkpoint is kept: {self.checkpoint}. " if self.checkpoint.exists() else ""
        raise DivergedError(
            f"{self.description}: {', '.join(broken)} is not finite in step {step + 1} of {self.steps}",
            errors=self.batches.names(step),
            hint=f"{kept}Check these images, or lower training.learning_rate in a new run.",
        )


SHOWN = (
    "loss",
    "supervised",
    "self_training",
    "cross",
    "contrast",
    "confident",
    "gate_open",
    "pixel_accuracy",
)
