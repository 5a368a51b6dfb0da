"""Processes that do work when asked, so that what is compared takes turns on the same machine.

Each worker is a process of its own and has its own peak memory; the ones that are not asked sleep.
The parent writes a line of JSON, `{"call": "steps", "with": [3]}`, and reads one, the answer.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # also from a checkout that is not installed
from usrn_keras.lean_keras import keep_keras_lean


def serve(make: Callable[[dict], Any]) -> None:
    """Be a worker: build what `make` gives for the options in the first argument, then call its methods.

    What it gives has `facts`, columns of its row such as the versions of its libraries.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    made = make(json.loads(sys.argv[1]))
    _answer(answers, made.facts)
    for line in sys.stdin:
        asked = json.loads(line)
        _answer(answers, getattr(made, asked["call"])(*asked["with"]))


def _answer(answers: Any, value: Any) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


class Worker:
    """The parent's end of a worker: a script in this folder that calls `serve`.

    Attributes:
        facts: What the worker says of itself.
        start_seconds: From the start of the process until it was ready.

    Raises:
        RuntimeError: The process ended; its last lines are in the message.
    """

    def __init__(self, script: str, options: dict, environment: Mapping[str, str]):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(Path(__file__).with_name(script)), json.dumps(options)],
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

    def call(self, method: str, *arguments: Any) -> Any:
        """What the method of the worker's object returns."""
        self._process.stdin.write(json.dumps({"call": method, "with": arguments}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _read(self) -> Any:
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


def main() -> None:
    """The process of a worker: run its script with a lean Keras, as the command does."""
    keep_keras_lean()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
