"""The short form of the attacks: a few of every kind, all survived, no internal error."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.attacks.summary import Summary
from tests.attacks.victim import changed_path
from tests.tools import ROOT

FEW = ["--kinds", "rows,signals,recipes,runs,data,models", "--rows", "1", "--signals", "1",
       "--recipes", "200", "--runs", "2", "--data", "4", "--models", "6"]  # fmt: skip


@pytest.mark.timeout(600)
def test_a_few_attacks_of_every_kind_are_survived(tmp_path):
    environment = os.environ | {"KERAS_BACKEND": "torch"}  # processes are forked, which other backends forbid
    command = [sys.executable, "-m", "tests.attacks", *FEW, "--out", str(tmp_path / "table.md")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "| several in a row | torch | 1 | 1 | 0 |" in done.stdout
    assert "| recipe | - | 200 | 200 | 0 |" in done.stdout


def test_a_loss_is_counted_and_named():
    table = Summary()
    table.add("kill", "torch", "change 3", "")
    table.add("kill", "torch", "change 4", "differs in scores")
    text = table.markdown()
    assert "| kill | torch | 2 | 1 | 1 |" in text and "| all | | 2 | 1 | 1 |" in text
    assert "Lost, kill, torch: change 4: differs in scores" in text


@pytest.mark.parametrize(
    ("event", "arguments", "path"),
    [("open", ("/a/b", "w", os.O_WRONLY | os.O_CREAT), "/a/b"), ("open", ("/a", "r", os.O_RDONLY), None),
     ("open", (3, "w", os.O_WRONLY), None), ("os.rename", ("/a", "/b", -1, -1), "/b"),
     ("os.remove", ("/a", -1), "/a"), ("os.listdir", ("/a",), None)],
)  # fmt: skip
def test_which_events_change_a_path(event, arguments, path):
    assert changed_path(event, arguments) == path
