"""`usrn fit --devices 2` on PyTorch: two processes, one run folder, and the result of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from usrn_cli.processes import PROGRAM

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "torch", reason="processes are of PyTorch"),
]


def fit(recipe: Path, run: Path, *options: str) -> subprocess.Popen:
    """A command with two images of each kind in a batch, of which a process gets one."""
    command = [sys.executable, "-c", PROGRAM, "fit", str(recipe), "--run", str(run), *options]
    environment = {**os.environ, "KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def losses(run: Path) -> list[float]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [record["loss"] for record in map(json.loads, lines) if "loss" in record]


def test_two_processes_write_what_one_writes(recipe_file, tmp_path):
    one, two = (fit(recipe_file, tmp_path / name, "--devices", name) for name in ("1", "2"))
    for process in (one, two):
        _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
    assert len(losses(tmp_path / "1")) == len(losses(tmp_path / "2")) == 8
    np.testing.assert_allclose(losses(tmp_path / "2"), losses(tmp_path / "1"), rtol=1e-3)


def test_a_run_resumes_on_another_number_of_processes(recipe_file, tmp_path):
    """Two processes are interrupted, one goes on: the sum of the steps is that of the recipe."""
    steps = ("--set", "training.baseline_steps=40")
    process = fit(recipe_file, tmp_path / "run", *steps, "--devices", "2")
    deadline = time.monotonic() + 240
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 130, stderr
    assert "checkpoint written" in stderr
    known = len(losses(tmp_path / "run"))
    assert 0 < known < 40
    process = fit(recipe_file, tmp_path / "run", *steps)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert len(losses(tmp_path / "run")) == 44
