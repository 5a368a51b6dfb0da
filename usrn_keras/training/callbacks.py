"""What happens between two steps: callbacks, and Ctrl-C handling."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Protocol


class Callback(Protocol):
    """Called after selected steps, such as a measurement on validation images."""

    def resume(self, step: int) -> None:
        """Bring the records to the step that training resumes from, its weights in place."""

    def due(self, step: int) -> bool:
        """Whether to call `after_step` after this step."""

    def after_step(self, step: int) -> None:
        """Read the weights of a step, which are in place, as the checkpoint is."""


class InterruptRequest:
    """Whether the user asked to stop; true from the first signal on."""

    def __init__(self) -> None:
        self.asked = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:  # asked twice: stop at once, the last checkpoint stays
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[InterruptRequest]:
    """Let a loop finish its step and save before it stops; a second signal stops at once.

    Signals belong to the main thread; elsewhere the request is never set.
    """
    request = InterruptRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, request._handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
