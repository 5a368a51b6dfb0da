"""Doing runs: each shared stage once, failures apart, an interrupt for all, progress across processes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.sweeps.made import BASELINE, STAGES, SUBCLASSES, made_plan
from usrn_keras.progress import SILENT
from usrn_keras.sweeps import run_all as module
from usrn_keras.sweeps.family import Family
from usrn_keras.sweeps.run_all import _SentProgress, run_all

MADE_RUN = """
import json, os, sys, time, tomli_w
from pathlib import Path
from usrn_keras._version import NUMERICS
from usrn_keras.errors import DivergedError

def made_run(order, send):
    folder = Path(order["folder"])
    def write(what):
        with open(folder.parent / "history", "a") as file:
            file.write(f"{what} {folder.name}\\n")
    folder.mkdir()
    (folder / "recipe.toml").write_text(tomli_w.dumps(order["recipe"]))
    (folder / "dataset.json").write_text("{}")
    (folder / "environment.json").write_text(json.dumps([{"numerics": NUMERICS}]))
    write("begin")
    print("it begins", file=sys.stderr)
    if folder.name.startswith("slow"):
        time.sleep(60)
    for stage in STAGES:
        if stage == STAGES[-1] and folder.name.startswith("b-"):
            raise DivergedError("the loss is not finite", hint="Lower it.")
        if stage == STAGES[-1] and folder.name.startswith("crash"):
            os._exit(3)
        donors = [Path(donor) / stage for donor in order["reuse"] if stage != STAGES[-1]]
        if not any((donor / "complete.json").exists() for donor in donors):
            write(stage)
            send({"task": stage, "total": 2, "done": 1})
            time.sleep(0.05)
            send({"advance": 1, "numbers": {"loss": 0.5}})
            send({"end": stage})
        (folder / stage).mkdir()
        (folder / stage / "complete.json").write_text("{}")
    write("end")
    return {}
"""


class Recorded:
    """A `Progress` that keeps what it shows."""

    def __init__(self):
        self.shown = []

    @contextlib.contextmanager
    def task(self, description, total, done=0):
        self.shown.append((description, total, done))
        yield self
        self.shown.append(("end", description))

    def advance(self, n=1, /, **numbers):
        self.shown.append((n, numbers))

    def log(self, line):
        self.shown.append(line)


@pytest.fixture
def family(tmp_path, monkeypatch):
    """A family whose runs take 50 ms for a stage, train nothing, and append to `history` what they do."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code/made_run.py").write_text(MADE_RUN.replace("STAGES", repr(STAGES)))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'code'}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(module, "TARGET", "made_run:made_run")
    (tmp_path / "family").mkdir()
    return Family(tmp_path / "family")


def history(family: Family) -> list[str]:
    """What the runs did, `begin`, `end` or a stage, in order."""
    return [line.split()[0] for line in (family.path / "history").read_text().splitlines()]


@pytest.mark.parametrize("jobs", [1, 3])
def test_shared_stages_are_done_once(family, jobs):
    plan = made_plan("A", "B2", "C", seeds=(0, 1))
    assert run_all(plan.runs, family, jobs=jobs, progress=SILENT) == {}
    did = history(family)
    assert [did.count(stage) for stage in STAGES] == [2, 2, 6]  # Baseline and subclasses: one of each seed
    together = [did[: i + 1].count("begin") - did[:i].count("end") for i in range(len(did))]
    assert max(together) == 1 if jobs == 1 else 1 < max(together) <= 3
    assert all(family.has(run, stage) for run in plan.runs for stage in (BASELINE, SUBCLASSES))


def test_runs_at_a_time_get_one_gpu_each(monkeypatch):
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(module, "usable_cores", lambda: 8)
    own = [module._environment(2, ("3", "GPU-7"), slot) for slot in range(2)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in own] == ["3", "GPU-7"]
    assert own[0] == {"CUDA_VISIBLE_DEVICES": "3", "OMP_NUM_THREADS": "4"}
    shared = [module._environment(3, ("3", "GPU-7"), slot) for slot in range(3)]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in shared] == ["3", "GPU-7", "3"]
    assert shared[0]["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert "CUDA_VISIBLE_DEVICES" not in module._environment(3)
    assert module._environment(1, ("3", "GPU-7")) == {}


def test_a_gpu_is_given_again_after_its_run(family, monkeypatch):
    """Three runs on two GPUs: the third takes the GPU of the one that ended first."""
    given = []
    environment = module._environment
    monkeypatch.setattr(module, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(module, "gpus_by_identifier", lambda: {"0": None, "1": None})
    monkeypatch.setattr(module, "_environment", lambda *g: given.append(environment(*g)) or given[-1])
    assert run_all(made_plan("A", "B2", "C", seeds=(0,)).runs, family, jobs=2, progress=SILENT) == {}
    gpus = [one["CUDA_VISIBLE_DEVICES"] for one in given]
    assert gpus[0] == "0" and set(gpus) <= {"0", "1"} and len(gpus) == 3


def test_one_that_fails_does_not_stop_the_others(family):
    plan, progress = made_plan("A", "B", "crash", "C", seeds=(0,)), Recorded()
    failures = run_all(plan.runs, family, jobs=2, progress=progress)
    _, second, third, last = [run.name for run in plan.runs]
    assert list(failures) == [second, third] and history(family).count("end") == 2
    assert failures[second] == "the loss is not finite\nLower it."
    assert "exit code 3" in failures[third] and f"see {family.path / third}.log" in failures[third]
    assert f"{second} failed: the loss is not finite" in progress.shown
    assert progress.shown.count((1, {})) == 4  # of the runs, each of which is over
    assert (family.path / f"{last}.log").read_text() == "it begins\n"


def test_the_progress_of_a_run_is_shown_under_its_name(family):
    (run,), progress = made_plan("A", seeds=(0,)).runs, Recorded()
    run_all([run], family, jobs=1, progress=progress)
    title = f"{run.name} {STAGES[-1]}"
    assert progress.shown[0] == ("runs", 1, 0) and progress.shown[-1] == ("end", "runs")
    at = progress.shown.index((title, 2, 1))
    assert progress.shown[at + 1 : at + 3] == [(1, {"loss": 0.5}), ("end", title)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_stops_all_of_them(family, number, foreground_signals):
    plan, before = made_plan("slow", "slower", seeds=(0, 1)), signal.getsignal(number)

    def interrupt_once_they_work():
        while not (family.path / "history").exists() or history(family).count("begin") < 2:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt_once_they_work, daemon=True).start()
    with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
        run_all(plan.runs, family, jobs=2, progress=SILENT)
    assert history(family) == ["begin", "begin"]  # of two seeds, which share nothing; no third one
    assert signal.getsignal(number) == before


def test_messages_are_json_numbers():
    messages = []
    with _SentProgress(messages.append).task(BASELINE, total=7, done=2) as task:
        task.advance(2, loss=1)
    assert messages == [
        {"task": BASELINE, "total": 7, "done": 2},
        {"advance": 2, "numbers": {"loss": 1.0}},
        {"end": BASELINE},
    ]


def test_each_run_has_a_log_of_its_own(family):
    """Rows of the threshold table have dots in their names."""
    runs = made_plan("0.55", "0.65", seeds=(0,)).runs
    run_all(runs, family, jobs=1, progress=SILENT)
    assert {path.name for path in Path(family.path).glob("*.log")} == {f"{run.name}.log" for run in runs}
