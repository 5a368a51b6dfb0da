"""Progress that crosses a pipe: a process of its own tells, as JSON lines, and the parent shows it."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import IO, Any, TextIO

from usrn_keras.progress import Progress, Task


class PipedProgress:
    """A `Progress` that writes lines to a stream: what the process at the other end of it `follow`s.

    Args:
        stream: Where to write; standard output by default.
        stopping: Whether the process was asked to stop: then no task begins.

    Raises:
        KeyboardInterrupt: A task is to begin while it is stopping.
    """

    def __init__(self, stream: TextIO | None = None, *, stopping: Callable[[], bool] = lambda: False):
        self._stream = stream or sys.stdout
        self._stopping = stopping

    @contextlib.contextmanager
    def task(self, description: str, total: int, done: int = 0) -> Iterator[Task]:
        if self._stopping():
            raise KeyboardInterrupt
        self._say(task=description, total=total, done=done)
        yield self
        self._say(end=description)

    def advance(self, n: int = 1, /, **numbers: float) -> None:
        self._say(advance=n, numbers={name: float(value) for name, value in numbers.items()})

    def log(self, line: str) -> None:
        self._say(log=line)

    def _say(self, **message: Any) -> None:
        print(json.dumps(message), file=self._stream, flush=True)


def follow(stream: IO[str], name: str, progress: Progress) -> Iterator[str]:
    """Show the tasks that a `PipedProgress` tells, each under `name`, and give what it logs.

    A line that is no message is given as it is: some library said it.
    """
    with contextlib.ExitStack() as under_way:
        task: Task | None = None
        for line in stream:
            message = _parsed(line)
            if "task" in message:
                under_way.close()
                title = f"{name} {message['task']}"
                task = under_way.enter_context(progress.task(title, message["total"], message["done"]))
            elif "advance" in message and task is not None:
                task.advance(message["advance"], **message["numbers"])
            elif "end" in message:
                under_way.close()
                task = None
            elif "log" in message:
                yield message["log"]


def _parsed(line: str) -> dict[str, Any]:
    with contextlib.suppress(json.JSONDecodeError):
        message = json.loads(line)
        if isinstance(message, dict):
            return message
    return {"log": line.rstrip()}
