from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from usrn_keras.budget import room
from usrn_keras.budget.room import free_memory, gpu_memory, peak_memory, process_memory

LIMITED = """
from usrn_keras.budget.room import free_memory
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))
print(free_memory())
"""


def test_this_process_holds_less_than_its_peak_and_more_than_its_array():
    held = process_memory()
    array = bytearray(os.urandom(2**20) * 100)
    assert process_memory() - held > 90 * 2**20
    assert process_memory() <= peak_memory() + 2**24
    assert len(array) == 100 * 2**20


@pytest.fixture
def container(tmp_path, monkeypatch):
    """Control groups in a folder of their own, on a machine with 10 GB free."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 20000000 kB\nMemAvailable:   10000000 kB\n")
    monkeypatch.setattr(room, "MEMINFO", meminfo)
    monkeypatch.setattr(room, "CONTROL_GROUPS", tmp_path)
    return tmp_path


def test_no_container(container):
    assert free_memory() == 10_240_000_000


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("4000000000", 2_500_000_000), ("1000", 0), ("max", 10_240_000_000), ("99000000000", 10_240_000_000)],
)
def test_the_limit_of_a_container(container, limit, expected):
    (container / "memory.max").write_text(f"{limit}\n")
    (container / "memory.current").write_text("2000000000\n")
    (container / "memory.stat").write_text("anon 5\ninactive_file 500000000\n")
    assert free_memory() == expected


def test_the_limit_of_an_old_container(container):
    (container / "memory").mkdir()
    (container / "memory/memory.limit_in_bytes").write_text("3000000000\n")
    (container / "memory/memory.usage_in_bytes").write_text("1000000000\n")
    (container / "memory/memory.stat").write_text("total_inactive_file 0\n")
    assert free_memory() == 2_000_000_000


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_AS"), reason="no limit of addresses here")
def test_the_limit_of_a_process():
    done = subprocess.run([sys.executable, "-c", LIMITED], stdout=subprocess.PIPE, text=True, check=True)
    assert 0 < int(done.stdout) < 2**29


def test_memory_of_a_gpu_as_its_tool_tells(tmp_path, monkeypatch):
    tool = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    tool.write_text('#!/bin/sh\ncase "$1" in *memory.free) echo 100;; *memory.total) echo 200;; esac\n')
    tool.chmod(0o755)
    assert (gpu_memory(), gpu_memory("free")) == (200 * 2**20, 100 * 2**20)
