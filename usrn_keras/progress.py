"""Progress of long tasks: bars on a terminal, or plain lines, or no output.

A function that takes long receives a `Progress` and reports to it:

    with progress.task("baseline", total=400, done=120) as task:
        for step in range(120, 400):
            ...
            task.advance(1, loss=0.42, images_per_second=31.0)

`done` is the number of items that an interrupted run completed: they count for the progress, not the speed.
Every report is a moment at which the loop may stop: `advance` raises `KeyboardInterrupt` if a signal asked
for it and a library swallowed the exception, see `usrn_keras.interrupts`.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, TextIO

from usrn_keras.interrupts import check_interrupt
from usrn_keras.printable import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBars


class Task(Protocol):
    """A task in progress."""

    def advance(self, n: int = 1, /, **numbers: float) -> None:
        """Add `n` completed items; `numbers` are shown next to the bar until the next call."""


class Progress(Protocol):
    """Shows the progress of tasks."""

    def task(self, description: str, total: int, done: int = 0) -> contextlib.AbstractContextManager[Task]:
        """Start a task of `total` items, of which `done` are complete."""

    def log(self, line: str) -> None:
        """Print one line of text above the bars."""


def terminal_progress(*, quiet: bool = False) -> contextlib.AbstractContextManager[Progress]:
    """Choose the progress for stderr: bars on a terminal, otherwise plain lines, or no output if `quiet`.

    Example:

    >>> with terminal_progress(quiet=True) as progress, progress.task("images", total=2) as task:
    ...     task.advance(2)
    """
    if quiet:
        return contextlib.nullcontext(SILENT)
    if not sys.stderr.isatty():
        return contextlib.nullcontext(PlainProgress())
    return RichProgress()


class _Silent:
    """Prints no output. Used by library calls, `--quiet` and most tests."""

    @contextlib.contextmanager
    def task(self, description: str, total: int, done: int = 0) -> Iterator[Task]:
        yield self

    def advance(self, n: int = 1, /, **numbers: float) -> None:
        check_interrupt()

    def log(self, line: str) -> None:
        pass


SILENT: Progress = _Silent()


class PlainProgress:
    """Prints lines without control codes at the start, every `every` seconds and at the end of a task.

    Args:
        stream: Stream to write to; stderr by default.
        every: Seconds between two lines.
        clock: Function that returns the time in seconds.

    Example:

    >>> with PlainProgress(sys.stdout).task("images", total=2) as task:
    ...     task.advance(2)
    images 0/2
    images 2/2, done in 0 s
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.stream = sys.stderr if stream is None else stream
        self.every = every
        self.clock = clock

    @contextlib.contextmanager
    def task(self, description: str, total: int, done: int = 0) -> Iterator[Task]:
        task = _PlainTask(self, description, total, done)
        task.start()
        yield task
        task.finish()

    def log(self, line: str) -> None:
        print(printable(line), file=self.stream, flush=True)


class _PlainTask:
    def __init__(self, progress: PlainProgress, description: str, total: int, done: int):
        self.progress, self.description, self.total = progress, description, total
        self.done = self.done_before = done
        self.started = self.shown = progress.clock()
        self.numbers: dict[str, float] = {}

    def start(self) -> None:
        self.progress.log(f"{self.description} {self.done}/{self.total}")

    def advance(self, n: int = 1, /, **numbers: float) -> None:
        check_interrupt()
        self.done += n
        self.numbers = numbers
        now = self.progress.clock()
        if now - self.shown >= self.progress.every:
            self.shown = now
            self.progress.log(", ".join([*self._pace(now - self.started), *_shown(numbers)]))

    def _pace(self, seconds: float) -> list[str]:
        parts = [f"{self.description} {self.done}/{self.total}"]
        if speed := (self.done - self.done_before) / seconds:
            parts += [f"{speed:.3g}/s", f"{duration((self.total - self.done) / speed)} left"]
        return parts

    def finish(self) -> None:
        took = duration(self.progress.clock() - self.started)
        parts = [f"{self.description} {self.done}/{self.total}", f"done in {took}"]
        self.progress.log(", ".join([*parts, *_shown(self.numbers)]))


WIDE = 100  # columns of a terminal with room for long bars


class RichProgress:
    """Shows bars on a terminal, with items per second, remaining time and the latest numbers.

    Use it as a context manager: until it exits, the bars stay below the logged lines.

    Args:
        console: Console to draw on; a console on stderr by default.
    """

    def __init__(self, console: Console | None = None):
        self._bars = _bars(console)

    def __enter__(self) -> RichProgress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def task(self, description: str, total: int, done: int = 0) -> Iterator[Task]:
        identity = self._bars.add_task(description, total=total, completed=done, numbers="")
        yield _RichTask(self._bars, identity)
        self._bars.stop_task(identity)

    def log(self, line: str) -> None:
        self._bars.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


class _RichTask:
    def __init__(self, bars: RichBars, identity: int):
        self._bars, self._identity = bars, identity

    def advance(self, n: int = 1, /, **numbers: float) -> None:
        check_interrupt()
        self._bars.update(self._identity, advance=n, numbers="  ".join(_shown(numbers)))


def _bars(console: Console | None) -> RichBars:
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    class SpeedColumn(progress.ProgressColumn):
        def render(self, task: progress.Task) -> str:
            speed = task.finished_speed or task.speed
            return "" if speed is None else f"{speed:.3g}/s"

    class TimeColumn(progress.ProgressColumn):
        max_refresh = 0.5  # seconds, so that the estimate can be read

        def render(self, task: progress.Task) -> str:
            if task.finished_time is not None:
                return duration(task.finished_time)
            return "" if task.time_remaining is None else f"{duration(task.time_remaining)} left"

    console = console or Console(stderr=True)

    def whole() -> Column:
        return Column(no_wrap=True)

    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False, table_column=whole()),
        progress.BarColumn(bar_width=24 if console.width >= WIDE else 8, table_column=whole()),
        progress.MofNCompleteColumn(table_column=whole()),
        SpeedColumn(table_column=whole()),
        TimeColumn(table_column=whole()),
        # What the other columns leave, shortened: in a narrow terminal the numbers are the last to be shown.
        progress.TextColumn(
            "{task.fields[numbers]}",
            markup=False,
            table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
        ),
        console=console,
        expand=True,
        speed_estimate_period=600,  # seconds; a step of a large network may take a minute on a CPU
    )


def duration(seconds: float) -> str:
    """Format a duration in its two largest units, such as `3 d 17 h`; an estimate needs no more digits.

    Example:

    >>> duration(61), duration(7200), duration(320_000)
    ('1 min 1 s', '2 h', '3 d 17 h')
    """
    if (whole := round(seconds)) < 3600:
        return _two_units(whole, "min", "s", 60)
    if (minutes := round(seconds / 60)) < 24 * 60:
        return _two_units(minutes, "h", "min", 60)
    return _two_units(round(seconds / 3600), "d", "h", 24)


def _two_units(count: int, large: str, small: str, ratio: int) -> str:
    whole, rest = divmod(count, ratio)
    parts = [f"{whole:,} {large}"] if whole else []
    return " ".join([*parts, f"{rest} {small}"] if rest or not whole else parts)


def _shown(numbers: dict[str, float]) -> list[str]:
    return [f"{name} {float(value):.4g}" for name, value in numbers.items()]
