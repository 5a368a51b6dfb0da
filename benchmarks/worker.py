"""Processes that do steps when told, so that what is compared takes turns on the same machine.

Each worker is a process of its own and has its own peak memory; the ones that are not asked sleep.
The parent writes a line of JSON, `{"steps": 3}` or `{"flops": true}`, and reads one, the answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Step(Protocol):
    """What a worker measures."""

    facts: dict[str, object]  # columns of its row, such as the versions of its libraries

    def __call__(self) -> float: ...  # one whole step; returns its loss when the device is done

    def peak_memory(self) -> int: ...  # bytes, since the process started or since the last reset

    def reset_peak_memory(self) -> bool: ...  # False where there is no way to

    def flops(self) -> int: ...  # of a step, in convolutions and matrix products; may do a step


def serve(make: Callable[[dict], Step]) -> None:
    """Be a worker: build what `make` gives for the options in the first argument, then answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    step = make(json.loads(sys.argv[1]))
    _answer(answers, step.facts)
    for line in sys.stdin:
        asked = json.loads(line)
        _answer(answers, {"flops": step.flops()} if "flops" in asked else _steps(step, asked["steps"]))


def _steps(step: Step, count: int) -> dict[str, Any]:
    seconds, loss = [], float("nan")
    for _ in range(count):
        started = time.perf_counter()
        loss = step()
        seconds.append(time.perf_counter() - started)
    found = {"seconds": seconds, "loss": loss, "peak_memory": step.peak_memory()}
    return found | {"peak_was_reset": step.reset_peak_memory()}


def _answer(answers: Any, values: dict) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


class Worker:
    """The parent's end of a worker.

    Attributes:
        facts: What the worker says of itself.
        start_seconds: From the start of the process until it was ready for its first step.

    Raises:
        RuntimeError: The process ended; its last lines are in the message.
    """

    def __init__(self, script: str, options: dict, environment: Mapping[str, str]):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, script, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, **environment},
        )
        try:
            self.facts = self._read()
        except BaseException:
            self.close()
            raise
        self.start_seconds = time.perf_counter() - started

    def steps(self, count: int) -> dict[str, Any]:
        """`seconds` of each step, the last `loss`, and `peak_memory` in bytes.

        The peak is that since the last answer, if that said `peak_was_reset`; else since the start.
        """
        return self._ask({"steps": count})

    def flops(self) -> int:
        """Operations of a step, in convolutions and matrix products."""
        return self._ask({"flops": True})["flops"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _ask(self, question: dict) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        last = "".join(self._errors.readlines()[-20:])
        raise RuntimeError(f"a worker ended with exit code {self._process.returncode}:\n{last}")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def take_turns(workers: Sequence[Worker], rounds: int, steps: int) -> list[list[dict[str, Any]]]:
    """Answers by round and worker; the order is turned round in every other round."""
    answers = []
    for number in range(rounds):
        order = list(enumerate(workers))[:: -1 if number % 2 else 1]
        found = {index: worker.steps(steps) for index, worker in order}
        answers.append([found[index] for index in range(len(workers))])
    return answers
