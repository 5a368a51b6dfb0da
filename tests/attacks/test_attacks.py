"""The short form of the attacks: a few of every kind, all survived, no internal error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.attacks.summary import Summary
from tests.attacks.verb_attacks import Verb, half_written
from tests.attacks.victim import changed_path
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
