"""Progress through a pipe arrives as it was told."""

from __future__ import annotations

import contextlib
import io

import pytest

from usrn_keras.sweeps.relay import PipedProgress, follow


class Recorded:
    """A `Progress` that keeps what it is told."""

    def __init__(self):
        self.told = []

    @contextlib.contextmanager
    def task(self, description, total, done=0):
        self.told.append((description, total, done))
        yield self
        self.told.append(("end", description))

    def advance(self, n=1, /, **numbers):
        self.told.append((n, numbers))

    def log(self, line):
        self.told.append(line)


def test_what_is_told_arrives():
    pipe, shown = io.StringIO(), Recorded()
    piped = PipedProgress(pipe)
    piped.log("begins")
    with piped.task("3-usrn", total=7, done=2) as task:
        task.advance(2, loss=0.5)
        task.advance()
    pipe.write("a library speaks\n17\n")
    pipe.seek(0)
    assert list(follow(pipe, "run-a", shown)) == ["begins", "a library speaks", "17"]
    assert shown.told == [
        ("run-a 3-usrn", 7, 2), (2, {"loss": 0.5}), (1, {}), ("end", "run-a 3-usrn"),
    ]  # fmt: skip


def test_a_task_that_never_ends_is_closed_with_the_stream():
    pipe, shown = io.StringIO(), Recorded()
    with contextlib.suppress(ZeroDivisionError), PipedProgress(pipe).task("1-baseline", total=3):
        raise ZeroDivisionError
    pipe.seek(0)
    assert list(follow(pipe, "b", shown)) == []
    assert shown.told == [("b 1-baseline", 3, 0), ("end", "b 1-baseline")]


def test_nothing_begins_once_it_is_to_stop():
    pipe = io.StringIO()
    piped = PipedProgress(pipe, stopping=lambda: True)
    with pytest.raises(KeyboardInterrupt), piped.task("3-usrn", total=3):
        pass
    assert pipe.getvalue() == ""
