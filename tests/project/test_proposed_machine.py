from __future__ import annotations

import pytest

from usrn_keras.machine import usable_cores
from usrn_keras.project import proposal
from usrn_keras.project.proposal import MOBILENET, Machine, detect_machine, step_seconds


def test_this_machine():
    found = detect_machine(gpu=False)
    assert not found.gpu and found.cores == usable_cores()
    assert 2**26 < found.memory < 2**46
    assert 1e8 < found.flops < 1e14


def test_a_gpu_is_not_measured(monkeypatch):
    monkeypatch.setattr(proposal, "nvidia_gpus", lambda: [])
    found = detect_machine(gpu=True)
    assert found.gpu and not found.memory_known and found.flops == 0


def test_the_cost_agrees_with_what_was_measured():
    core = Machine(gpu=False, memory=2**34, memory_known=True, cores=1, flops=9.6e10)
    baseline, usrn = step_seconds(MOBILENET, 4, 192, core)
    assert baseline == pytest.approx(0.65, rel=0.1)
    # benchmarks/results/camvid_small_main_2400.csv, 1/8, seed 2: 325 s of 1200 steps, 1753 s of 2400
    assert usrn / baseline == pytest.approx((1753 / 2400) / (325 / 1200), rel=0.1)
