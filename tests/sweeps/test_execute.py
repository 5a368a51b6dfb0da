"""Doing runs: each shared stage once, failures apart, an interrupt for all."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from tests.sweeps.made import made_plan
from usrn_keras.progress import SILENT
from usrn_keras.runs import BASELINE, SUBCLASSES
from usrn_keras.sweeps import run_all as module
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.run import Ended
from usrn_keras.sweeps.run_all import execute


class Made:
    """Runs that only say that they ran: a stage takes 20 ms, and the folder says when it is complete."""

    def __init__(self, failing=(), slow: float = 0.02):
        self.failing, self.slow = failing, slow
        self.computed, self.together, self.most_together = [], 0, 0
        self.guard = threading.Lock()

    def process(self, planned, folder, reuse, variables):
        made = self

        class Process:
            stop = threading.Event()

            def finish(self, progress):
                return made.work(planned, folder, self.stop)

            def interrupt(self):
                self.stop.set()

            def kill(self):
                self.stop.set()

        return Process()

    def work(self, planned, folder, stop):
        with self.guard:
            self.together += 1
            self.most_together = max(self.most_together, self.together)
        try:
            for stage, key in planned.needs.items():
                if planned.name.startswith(self.failing) and stage == "3-usrn":
                    return Ended("the loss is not finite\nmore of it")
                known = any(key == done for done, _ in self.computed)
                if stop.wait(self.slow):
                    return Ended(interrupted=True)
                with self.guard:
                    if not known:
                        self.computed.append((key, stage))
                (folder / stage).mkdir(parents=True)
                (folder / stage / "complete.json").write_text("{}")
            return Ended()
        finally:
            with self.guard:
                self.together -= 1


@pytest.fixture
def family(tmp_path, monkeypatch):
    """A family whose runs are made; a stage is complete where its file is."""

    def has(self, planned, stage):
        return (self.folder(planned) / stage / "complete.json").exists()

    monkeypatch.setattr(Family, "has", has)
    return Family(tmp_path)


def use(monkeypatch, made: Made) -> Made:
    monkeypatch.setattr(module, "RunProcess", made.process)
    return made


@pytest.mark.parametrize("jobs", [1, 3])
def test_shared_stages_are_done_once(family, monkeypatch, jobs):
    made = use(monkeypatch, Made(failing=("none",)))
    plan = made_plan("A", "B", "C", seeds=(0, 1))
    ended = execute(plan.runs, family, jobs=jobs, progress=SILENT)
    assert ended == {run.key: Ended() for run in plan.runs}
    stages = [stage for _, stage in made.computed]
    assert stages.count(BASELINE) == stages.count(SUBCLASSES) == 2  # one of each seed
    assert len(made.computed) == len(set(made.computed)) == 2 + 2 + 6
    assert made.most_together <= jobs and (jobs == 1 or made.most_together > 1)


def test_one_that_fails_does_not_keep_the_others(family, monkeypatch):
    use(monkeypatch, Made(failing=("b-",)))
    plan = made_plan("A", "B", "C", seeds=(0,))
    ended = execute(plan.runs, family, jobs=2, progress=SILENT)
    assert [bool(ended[run.key].failure) for run in plan.runs] == [False, True, False]


def test_an_interrupt_stops_all_of_them(family, monkeypatch):
    made = use(monkeypatch, Made(failing=("none",), slow=30))
    plan = made_plan("A", "B", "C", seeds=(0, 1))
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt, match="run the same command again"):
        execute(plan.runs, family, jobs=2, progress=SILENT)
    assert time.monotonic() - begun < 5 and not made.computed
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
