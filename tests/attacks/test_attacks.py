"""The short form of the attacks: a few of every kind, all survived, no internal error."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.attacks.fit_attacks import Reference, at_changes, changes_of
from tests.attacks.summary import Summary
from tests.attacks.verb_attacks import Verb, half_written
from tests.attacks.victim import change_name, changed_path
from tests.tools import ROOT

FEW = ["--kinds", "kills,signals,verbs,verb_errors,recipes,runs,data,models", "--kills", "1",
       "--signals", "1", "--only", "predict,split", "--verbs", "6", "--verb-errors", "6",
       "--recipes", "200", "--runs", "2", "--data", "4", "--models", "6"]  # fmt: skip


@pytest.mark.timeout(600)
def test_a_few_attacks_of_every_kind_are_survived(tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "torch"}  # processes are forked, which other backends forbid
    command = [sys.executable, "-m", "tests.attacks", *FEW, "--resume", str(tmp_path / "record.jsonl")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "| kill in 3-usrn | torch | " in done.stdout
    assert "| ENOSPC in usrn split | torch | 6 | 6 | 0 |" in done.stdout
    assert Summary(tmp_path / "record.jsonl").markdown() in done.stdout
    assert "| recipe | - | 200 | 200 | 0 |" in done.stdout


def test_a_loss_is_counted_and_named():
    table = Summary()
    table.add("kill", "torch", "change 3", "")
    table.add("kill", "torch", "change 4", "differs in scores")
    text = table.markdown()
    assert "| kill | torch | 2 | 1 | 1 |" in text and "| all | | 2 | 1 | 1 |" in text
    assert "Lost, kill, torch: change 4: differs in scores" in text


def test_a_campaign_is_resumed(tmp_path):
    file = tmp_path / "record.jsonl"
    first = Summary(file, seed=3, commit="abc")
    first.add_all("kills 0", "torch", [("kill in usrn", "change 1", ""), ("kill in usrn", "change 2", "")])
    first.add("signal", "torch", "1 s", "lost")
    with open(file, "a") as record:
        record.write('{"unit": "kills 1", "ki')  # the campaign was killed
    again = Summary(file, seed=3)
    assert again.markdown() == first.markdown()
    assert again.is_done("kills 0", "torch") and len(again.of("kills ", "torch")) == 2
    assert not again.is_done("signal 1 s", "torch")  # lost: attacked again
    again.add("signal", "torch", "1 s", "")
    assert Summary(file, seed=3).is_done("signal 1 s", "torch")
    assert not again.is_done("kills 0", "jax") and not Summary(file, seed=4).is_done("kills 0", "torch")


BEFORE, AFTER = {"a": b"old", "log": b"1"}, {"a": b"new", "b": b"new", "c": b"new", "log": b"12:00"}


@pytest.mark.parametrize(
    ("now", "problem"),
    [
        (BEFORE, ""),
        (AFTER, ""),
        (AFTER | {"log": b"12:01"}, ""),  # differs each time
        (AFTER | {"log": b""}, "log is half-written, 0 bytes"),
        (AFTER | {"a": b"ne"}, "a is half-written, 2 bytes"),
        (BEFORE | {"b": b"new"}, "1 of 2 new files are there"),
        (BEFORE | {"d": b""}, "d is neither a file before nor after the command"),
        (BEFORE | {"features/d": b""}, ""),
        (AFTER | {"table/.holder.json": b"{}"}, ""),  # the next process replaces it
        ({"log": b"1"}, "a is gone"),
    ],
)
def test_what_is_half_written(now, problem):
    verb = Verb(lambda place: [], at_once=True, scratch="features")
    assert half_written(now, BEFORE, AFTER, {"a", "b", "c"}, verb) == problem


@pytest.mark.parametrize(
    ("event", "arguments", "path"),
    [("open", ("/a/b", "w", os.O_WRONLY | os.O_CREAT), "/a/b"), ("open", ("/a", "r", os.O_RDONLY), None),
     ("open", (3, "w", os.O_WRONLY), None), ("os.rename", ("/a", "/b", -1, -1), "/b"),
     ("os.remove", ("/a", -1), "/a"), ("os.listdir", ("/a",), None)],
)  # fmt: skip
def test_which_events_change_a_path(event, arguments, path):
    assert changed_path(event, arguments) == path


@pytest.mark.parametrize(
    ("path", "name"),
    [("1-a/.best-xg_3m0qz.tmp.json", "open 1-a/.best-*.tmp.json"), ("metrics.jsonl", "open metrics.jsonl"),
     ("tensorboard/1-a/events.out.tfevents.1796068991.vm", "open tensorboard/1-a/events.out.tfevents")],
)  # fmt: skip
def test_a_change_has_the_same_name_in_each_run(path, name):
    assert change_name("open", path) == name


EACH = """
import sys
from pathlib import Path
from tests.attacks.victim import NEW, Attack, _watch
folder = Path(sys.argv[1])
_watch(folder, Attack("ENOSPC", NEW), lambda path: None)
for name in ("a", "b", "b"):
    (folder / name).write_text("")
"""


def test_each_change_fails_once(tmp_path):
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", EACH, str(tmp_path / "run")]
    done = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True) for _ in range(4)]
    assert [process.returncode for process in done] == [1, 1, 1, 0]
    assert [name in process.stderr for name, process in zip("abb", done, strict=False)] == [True] * 3
    assert (tmp_path / "run.attacked").read_text().split("\n")[:3] == ["open a 1", "open b 1", "open b 2"]


def test_stages_are_attacked_until_they_have_enough():
    events = ["stages.json", *["1-a/x"] * 8, "1-a/complete.json", "evaluation.json", "complete.json"]
    changes = changes_of(events, ["1-a"])
    assert changes == {"start": 1, "1-a": 9, "evaluation": 2}
    reference = Reference({}, changes, 1.0)

    def places(stage, lacking):
        strikes = (
            at_changes(("kill",), random.Random(seed), reference, stage, lacking) for seed in range(50)
        )
        return {strike and strike.how["attack"].at for strike in strikes}

    assert places("1-a", {"1-a"}) == set(range(9))
    assert places("1-a", {"evaluation"}) == {9, 10}  # the next stage
    assert places("evaluation", {"1-a"}) == {None}
