"""Callbacks between training steps, and Ctrl-C handling."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Protocol


class Callback(Protocol):
    """Called after selected steps, for example to evaluate on validation images."""

    def resume(self, step: int) -> None:
        """Restore the callback's records to the step that training resumes from; its weights are loaded."""

    def due(self, step: int) -> bool:
        """Whether to call `after_step` after this step."""

    def after_step(self, step: int) -> None:
        """Run after a step; its weights are loaded, and its checkpoint is written."""


class InterruptRequest:
    """Request to stop; set by the first signal."""

    def __init__(self) -> None:
        self.asked = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:  # second signal: stop at once, the last checkpoint is kept
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[InterruptRequest]:
    """Let a loop finish its step and save before it stops; a second signal stops at once.

    Python delivers signals to the main thread only; in other threads the request is never set.
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
