"""Run a function in a process of its own: with another backend, on other devices, or where it may crash.

The parent starts a `Worker` and waits for its `result`. The child process, `python -P -m usrn_keras.worker
module:function`, reads its order as a line of JSON from standard input and answers with lines of JSON on
what was its standard output; what libraries print there goes to standard error instead. Standard input stays
open as long as the parent wants the child to run: closing it, as the death of the parent does, is the request
to stop, which cannot get lost while the child is still starting. SIGTERM and SIGHUP of the child itself are
such requests, too: a service manager sends them to all processes of a service.

    # mypackage/double.py
    def double(order: dict, send: Callable[[dict], None]) -> dict:
        send({"log": "doubling"})
        return {"value": 2 * order["value"]}

    with Worker("mypackage.double:double", {"value": 3}, {"KERAS_BACKEND": "jax"}) as worker:
        worker.result()  # {"value": 6}
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from usrn_keras import errors
from usrn_keras.files import storage_errors
from usrn_keras.interrupts import SIGNALS, check_interrupt, interrupt_exit_code, owned_signals
from usrn_keras.lean_keras import keep_keras_lean

LAST_LINES = 5  # lines of standard error that the message of a `WorkerError` shows
STOPPED = {
    code for number in SIGNALS for code in (128 + number, -number)
}  # exit codes after a request to stop
END_SECONDS = 10.0  # time that a child gets to end by itself after its result


class WorkerError(RuntimeError):
    """A child process that ended without a result: it crashed, was killed, or raised an unexpected error.

    Args:
        target: The function that ran.
        code: Exit code of the process; negative if a signal ended it.
        reason: The error that ended it in one line, such as `ImportError: no module named x`; "" if unknown.
        lines: What the child wrote to standard error, without empty lines.
    """

    def __init__(self, target: str, code: int, reason: str, lines: tuple[str, ...]):
        ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self.code, self.lines = code, lines
        self.reason = ": ".join(filter(None, [reason or ended, "" if reason else "".join(lines[-1:])]))
        shown = "".join(f"\n  {line}" for line in lines[-LAST_LINES:])
        super().__init__(f"the worker process of {target} ended without a result ({ended}){shown}")


class Worker:
    """A child process that runs one function. Leaving its `with` block kills it if it still runs.

    Args:
        target: The function as `module:function`. It is called with the order and with `send`, which hands a
            JSON-serializable message to the parent and raises KeyboardInterrupt after a request to stop.
        order: JSON-serializable argument of the function.
        environment: Environment variables of the child in addition to those of this process.
        on_message: Called with each message, on the thread that waits in `result`.
        log: File to which the standard error of the child is appended; None: it is kept for errors only.

    Raises:
        StorageError: `log` cannot be written.
    """

    def __init__(
        self,
        target: str,
        order: Mapping[str, Any],
        environment: Mapping[str, str] | None = None,
        on_message: Callable[[dict], None] | None = None,
        *,
        log: Path | None = None,
    ):
        self._target, self._on_message = target, on_message or (lambda message: None)
        with storage_errors(log or tempfile.gettempdir()):
            self._stderr = open(log, "a+b") if log else tempfile.TemporaryFile()  # noqa: SIM115
        self._stderr_start = self._stderr.seek(0, os.SEEK_END)
        self._process = subprocess.Popen(
            # -P: a file in the working directory that is named like a module must not be imported.
            [sys.executable, "-P", "-m", "usrn_keras.worker", target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **(environment or {}), **_python_path(environment or {})},
            start_new_session=True,  # Ctrl-C in the terminal reaches the parent alone
        )
        self._answers: queue.Queue[dict | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        with contextlib.suppress(OSError):  # the child is dead; `result` says why
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.kill()
        self._process.wait()
        self._stderr.close()

    def interrupt(self) -> None:
        """Ask the child to stop at the next safe point, as Ctrl-C does; a second call asks it to stop now."""
        if not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        else:
            self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """End the child at once."""
        self._process.kill()
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def result(self, timeout: float | None = None) -> dict:
        """Wait for the end of the function and return what it returned.

        Args:
            timeout: Seconds to wait at most; the child keeps running after a TimeoutError.

        Raises:
            USRNError: Of the class, message, list and hint of the one that the function raised.
            WorkerError: The function raised another error, or the process ended without a result.
            KeyboardInterrupt: The child stopped because it was asked to.
            TimeoutError: There is no result yet.
        """
        deadline = time.monotonic() + timeout if timeout is not None else float("inf")
        reason = ""
        while (answer := self._next(deadline)) is not None:
            if "message" in answer:
                self._on_message(answer["message"])
            elif "result" in answer:
                self._end()
                return answer["result"]
            elif "error" in answer:
                kind = getattr(errors, answer["error"].pop("class"))
                raise kind(answer["error"].pop("message"), **answer["error"])
            else:
                reason = answer["reason"]
        code = self._end()
        if code in STOPPED:
            raise KeyboardInterrupt
        raise WorkerError(self._target, code, reason, self.stderr_lines())

    def stderr_lines(self) -> tuple[str, ...]:
        """What the child has written to standard error so far, without empty lines."""
        self._stderr.seek(self._stderr_start)
        lines = self._stderr.read().decode(errors="replace").splitlines()
        return tuple(line for line in lines if line.strip())

    def _next(self, deadline: float) -> dict | None:
        """The next answer of the child, or None when there will be no more."""
        while True:
            try:
                # In short waits: what the child has started may keep its end of the pipe open.
                return self._answers.get(timeout=max(0.0, min(0.2, deadline - time.monotonic())))
            except queue.Empty:
                if self._process.poll() is not None and self._answers.empty():
                    return None
                if time.monotonic() >= deadline:
                    raise TimeoutError(f"the worker process of {self._target} has not ended") from None

    def _end(self) -> int:
        try:
            return self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # some library hangs at exit
            self._process.kill()
            return self._process.wait()

    def _read(self) -> None:
        with self._process.stdout as answers:
            for line in answers:
                if line.endswith(b"\n"):  # else it was killed while it wrote
                    self._answers.put(json.loads(line))
        self._answers.put(None)


def _python_path(environment: Mapping[str, str]) -> dict[str, str]:
    """The variable that lets the child import this very package where it is not installed."""
    location = Path(__file__).parents[1]
    if location.name in ("site-packages", "dist-packages"):
        return {}
    others = environment.get("PYTHONPATH", os.environ.get("PYTHONPATH"))
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(location), others]))}


def main(target: str) -> int:
    """The child process: run the function of the order on standard input; returns the exit code."""
    channel = os.dup(1)  # not inherited by programs that the function starts
    os.dup2(2, 1)

    def send(message: dict) -> None:
        check_interrupt()  # some imports swallow the exception
        _write(channel, {"message": message})

    keep_keras_lean()
    try:
        with owned_signals(always=(signal.SIGINT,)):  # a shell's background jobs ignore it
            order = json.loads(sys.stdin.readline())
            threading.Thread(target=_interrupt_at_end_of_input, daemon=True).start()
            module, _, function = target.partition(":")
            answer = {"result": getattr(importlib.import_module(module), function)(order, send)}
    except KeyboardInterrupt:
        return interrupt_exit_code()
    except errors.USRNError as error:
        print(f"error: {error}", file=sys.stderr)
        # A plug-in may have classes of its own; the parent knows those of `usrn_keras.errors`.
        name = next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__))
        fields = {"message": error.message, "errors": error.errors, "hint": error.hint}
        _write(channel, {"error": {"class": name, **fields}})
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        first_line = str(error).strip().splitlines()[:1]
        _write(channel, {"reason": ": ".join([type(error).__name__, *first_line])})
        return errors.USRNError.exit_code
    _write(channel, answer)
    return 0


def _interrupt_at_end_of_input() -> None:
    while os.read(0, 1024):  # not `sys.stdin`, whose lock would be held while the interpreter ends
        pass
    os.kill(os.getpid(), signal.SIGINT)


def _write(channel: int, answer: dict) -> None:
    line = memoryview(json.dumps(answer).encode() + b"\n")
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and standard input at its end
        while line:
            line = line[os.write(channel, line) :]


if __name__ == "__main__":
    from usrn_keras import worker  # under its own name: errors must be of the classes that others import

    sys.exit(worker.main(sys.argv[1]))
