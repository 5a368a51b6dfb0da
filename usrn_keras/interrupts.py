"""Ctrl-C, SIGTERM and SIGHUP: one owner for a whole command, whose request to stop no library can swallow.

The owner of the signals remembers the request, and raises `KeyboardInterrupt` where it arrives. Where a
library swallows that exception, as a bare `except:` or a destructor does, the next `check_interrupt` raises
it again: between images and blocks, where every loop reports its progress, and between stages. A training
loop defers the exception to the end of its step, and writes its checkpoint first.

    with owned_signals():
        for image in images:
            predict(image)
            check_interrupt()

A signal that was ignored when the owner started stays ignored, as `nohup` wants it. The same signal again
stops at once; signals of different kinds count as one request, since a closing terminal or a service manager
sends several.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from types import FrameType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)  # Windows has no SIGHUP
SAME_REQUEST_SECONDS = 0.3  # `timeout` sends its signal twice, to the process and to its group
SHOW_CURSOR = b"\x1b[?25h\n"  # a progress bar may have hidden it
GRACE_SECONDS = 5.0  # that a second signal leaves to clean up before the process ends


class _State:
    """What the owner knows; one for the process."""

    def __init__(self) -> None:
        self.owned = False
        self.deferred = False
        self.request: int | None = None  # the first signal
        self.at_once = False
        self._arrivals: dict[int, float] = {}

    def arrived(self, number: int) -> None:
        """Note a signal."""
        now = time.monotonic()
        first = self._arrivals.setdefault(number, now)
        self.at_once = self.at_once or now - first > SAME_REQUEST_SECONDS
        if self.request is None:
            self.request = number

    def forget(self) -> None:
        """Forget the signals of the block that ended."""
        self.request, self.at_once, self._arrivals = None, False, {}


_state = _State()


@contextlib.contextmanager
def owned_signals(*, always: Sequence[int] = (), hard_exit: bool = False) -> Iterator[None]:
    """Own the signals until the block ends; within another owner, or outside the main thread, do nothing.

    Args:
        always: Signals that are owned even where they were ignored before.
        hard_exit: Whether a second signal ends the process after `GRACE_SECONDS`, even while a library
            computes or swallows the exception. For commands, not for library calls.

    Raises:
        KeyboardInterrupt: A signal arrived in the block, and is not deferred.

    Example:

    >>> import os, signal
    >>> try:
    ...     with owned_signals():
    ...         try:
    ...             os.kill(os.getpid(), signal.SIGTERM)
    ...         except BaseException:  # a library that swallows everything
    ...             pass
    ...         check_interrupt("stopped")
    ... except KeyboardInterrupt as interrupt:
    ...     print(interrupt)
    stopped
    """
    if _state.owned or threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in SIGNALS if number in always or _is_ours(number)]
    _state.forget()
    before = {number: signal.signal(number, _on_signal) for number in numbers}
    hook, sys.unraisablehook = sys.unraisablehook, _quiet_unraisable(sys.unraisablehook)
    _state.owned = True
    try:
        with _ended_by_second_signal() if hard_exit else contextlib.nullcontext():
            yield
    finally:
        _state.owned = False
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Let the block finish what it does: the first signal only sets `interrupt_requested`."""
    with _deferral(True):
        yield


@contextlib.contextmanager
def allowed_interrupts() -> Iterator[None]:
    """A part of `deferred_interrupts` that may stop at any moment, such as a measurement between steps."""
    with _deferral(False):
        check_interrupt()
        yield


def interrupt_requested() -> bool:
    """Whether a signal has asked to stop since the owner started."""
    return _state.owned and _state.request is not None


def was_interrupted() -> bool:
    """Whether a signal has asked to stop in the last block that owned the signals, or in this one."""
    return _state.request is not None


def check_interrupt(message: str = "") -> None:
    """Raise `KeyboardInterrupt` if a signal has asked to stop, unless it is deferred.

    Args:
        message: Text of the exception.
    """
    if interrupt_requested() and (not _state.deferred or _state.at_once):
        raise KeyboardInterrupt(message)


def accept_interrupt() -> None:
    """Forget the request to stop: a command that runs until it is stopped, such as a server, succeeds so."""
    _state.forget()


def interrupt_exit_code() -> int:
    """Exit code of a command that a signal stopped: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.

    It is that of the last block that owned the signals.
    """
    return 128 + (_state.request or signal.SIGINT)


@contextlib.contextmanager
def _deferral(deferred: bool) -> Iterator[None]:
    before, _state.deferred = _state.deferred, deferred
    try:
        yield
    finally:
        _state.deferred = before


def _is_ours(number: int) -> bool:
    """Whether a signal is not ignored, and its handler is one of Python's, which can be set again."""
    return signal.getsignal(number) not in (signal.SIG_IGN, None)


def _on_signal(number: int, frame: FrameType | None) -> None:
    _state.arrived(number)
    if number == getattr(signal, "SIGHUP", None):
        _leave_terminal()
    if not _state.deferred or _state.at_once:
        raise KeyboardInterrupt


def _leave_terminal() -> None:
    """Write no more to a terminal that is gone: each attempt would fail before the checkpoint is written."""
    for descriptor in (1, 2):
        if os.isatty(descriptor):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, descriptor)
            os.close(nowhere)


def _quiet_unraisable(hook):
    """Print nothing for an interrupt that a destructor swallowed: `check_interrupt` raises it again."""

    def quiet(unraisable) -> None:
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)

    return quiet


@contextlib.contextmanager
def _ended_by_second_signal() -> Iterator[None]:
    """End the process `GRACE_SECONDS` after a second signal of the same kind.

    A thread reads the numbers of the signals from a pipe, since a handler of Python only runs when the main
    thread returns from the library that it is in.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before, ended = signal.set_wakeup_fd(writer, warn_on_full_buffer=False), threading.Event()
    threading.Thread(target=_watch, args=(reader, ended), name="signals", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        signal.set_wakeup_fd(before)
        os.close(writer)  # the thread reads the end, and closes its side


def _watch(reader: int, ended: threading.Event) -> None:
    first: dict[int, float] = {}
    with open(reader, "rb", buffering=0) as numbers:
        while number := numbers.read(1):
            now = time.monotonic()
            again = number[0] in SIGNALS and now - first.setdefault(number[0], now) > SAME_REQUEST_SECONDS
            if again and not ended.wait(GRACE_SECONDS):
                # Files are replaced as a whole, locks end with the process, and its workers stop with it.
                if os.isatty(2):
                    os.write(2, SHOW_CURSOR)
                os._exit(128 + number[0])
