from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from usrn_keras import machine
from usrn_keras.machine import available_memory, nvidia_gpus, nvidia_problem, total_memory

GIB, MIB = 2**30, 2**20
H200 = "NVIDIA H200, 143771, 140000, 9.0, 580.65.06"


def test_this_machine():
    assert 1 <= machine.usable_cores() <= os.cpu_count()
    assert 2**26 < available_memory() <= total_memory()
    assert 2**20 < machine.process_memory() < total_memory()
    assert 1e7 < machine.matrix_product_rate(64, seconds=0.001) < 1e14


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is of Linux")
def test_cores_within_the_affinity():
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); "
        "from usrn_keras.machine import usable_cores; print(usable_cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


def test_peak_memory_stays_until_it_is_forgotten():
    # In a process of its own: in that of the tests the allocator may keep the block, or already hold as much.
    code = (
        "import mmap; from usrn_keras import machine; before = machine.process_memory(); "
        "block = mmap.mmap(-1, 2**26); block.write(b'1' * 2**26); block.close(); "
        "peak = machine.peak_memory(); forgotten = machine.forget_peak_memory(); "
        "print(before, peak, machine.peak_memory(), int(forgotten))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, peak, after, forgotten = map(int, done.stdout.split())
    assert peak >= before + 2**26
    if forgotten:
        assert after < peak - 2**25


def test_ulimit_leaves_less():
    code = (
        "import resource; from usrn_keras.machine import available_memory; "
        f"resource.setrlimit(resource.RLIMIT_AS, ({4 * GIB}, {4 * GIB})); print(available_memory())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert 0 < int(done.stdout) < 4 * GIB


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("flags : avx2 avx512_bf16", True),
        ("Features : fp asimd bf16", True),
        ("flags : avx2", False),
        ("", True),
    ],
)
def test_processor_with_bfloat16(tmp_path, monkeypatch, text, known):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "PROC", tmp_path)
    assert machine.processor_has_bfloat16() is known


@pytest.fixture
def machine_files(tmp_path, monkeypatch):
    """A machine of 8 GiB, 5 of them available; the files of its control groups are given to the fixture."""
    memory = SimpleNamespace(total=8 * GIB, available=5 * GIB)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(machine, "PROC", tmp_path / "proc")
    monkeypatch.setattr(machine, "CGROUP", tmp_path / "cgroup")

    def make(membership: str, files: dict[str, str]) -> None:
        for name, text in {"proc/self/cgroup": membership, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    return make


def test_memory_without_groups(machine_files):
    assert (total_memory(), available_memory()) == (8 * GIB, 5 * GIB)


def test_memory_of_a_container(machine_files):
    machine_files(
        "0::/",
        {
            "cgroup/memory.max": str(4 * GIB),
            "cgroup/memory.current": str(3 * GIB),
            "cgroup/memory.stat": f"anon 5\ninactive_file {GIB}",
        },
    )
    assert total_memory() == 4 * GIB
    assert available_memory() == 2 * GIB  # 1 left, and 1 of files that can be dropped


def test_memory_limit_of_a_group_above(machine_files):
    """As a job of a scheduler has it: the step has no limit of its own."""
    machine_files(
        "0::/slurm/job_7/step_0",
        {
            "cgroup/slurm/job_7/step_0/memory.max": "max",
            "cgroup/slurm/job_7/step_0/memory.current": "1000",
            "cgroup/slurm/job_7/memory.max": "5000",
            "cgroup/slurm/job_7/memory.current": "6000",
            "cgroup/slurm/job_7/memory.stat": "anon 1",
        },
    )
    assert (total_memory(), available_memory()) == (5000, 0)


@pytest.mark.parametrize(("limit", "total", "left"), [(9000, 9000, 5500), (2**63 - 4096, 8 * GIB, 5 * GIB)])
def test_memory_of_version_1_where_the_container_does_not_see_its_own_path(machine_files, limit, total, left):
    machine_files(
        "4:cpu,cpuacct:/docker/abc\n5:memory:/docker/abc",
        {
            "cgroup/memory/memory.limit_in_bytes": str(limit),
            "cgroup/memory/memory.usage_in_bytes": "4000",
            "cgroup/memory/memory.stat": "total_inactive_file 500",
        },
    )
    assert (total_memory(), available_memory()) == (total, left)


@pytest.mark.parametrize(
    ("text", "name"),
    [("model name\t: Some CPU\nflags\t\t: sse\n\nmodel name\t: other", "Some CPU"), ("Features\t: fp", "")],
)
def test_processor_name(machine_files, text, name):
    machine_files("", {"proc/cpuinfo": text})
    assert machine.processor_name() == name


def test_processor_name_where_the_system_has_no_such_file(machine_files):
    assert machine.processor_name() == ""


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Makes an nvidia-smi that runs a line of shell; the machine has a device file."""
    monkeypatch.setattr(machine, "DEVICE_FILES", (tmp_path / "nvidia0",))
    (tmp_path / "nvidia0").touch()

    def make(line: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return make


def test_gpu_of_the_driver(tool):
    tool(f"echo '{H200}'")
    (gpu,) = nvidia_gpus()
    assert (gpu.name, gpu.capability, gpu.driver) == ("NVIDIA H200", 9.0, "580.65.06")
    assert (gpu.total, gpu.free) == (143771 * MIB, 140000 * MIB)
    assert nvidia_problem() == ""


def test_one_gpu_by_its_identifier(tool):
    tool("""case "$*" in *GPU-7*) echo 'seventh, 2, 1, 9.0, 580';; *) echo 'other, 2, 1, 9.0, 580';; esac""")
    assert nvidia_gpus("GPU-7")[0].name == "seventh"
    assert nvidia_gpus()[0].name == "other"


@pytest.mark.parametrize(
    ("visible", "names"),
    [(None, ["0", "1", "7"]), ("1", ["1"]), ("7,0", ["7", "0"]), ("0,5,1", ["0"]), ("", []), ("-1", [])],
)
def test_gpus_that_a_process_sees(tool, monkeypatch, visible, names):
    """In the order of the variable, up to the first that the machine does not have, as CUDA reads it."""
    tool("""
gpu() { echo "$1, 2, 1, 9.0, 580"; }
case "$*" in *--id=[017]) gpu "${4#--id=}${3#--id=}" ;; *--id=*) exit 6 ;; *) gpu 0; gpu 1; gpu 7 ;; esac""")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.name for gpu in machine.visible_gpus()] == names


def test_figures_that_an_old_driver_does_not_know(tool):
    tool("echo 'GeForce GT, [N/A], [N/A], [N/A], 390.1'")
    (gpu,) = nvidia_gpus()
    assert (gpu.total, gpu.free, gpu.capability) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("echo NVIDIA-SMI has failed; exit 9", "nvidia-smi: NVIDIA-SMI has failed"),
        ("exit 9", "nvidia-smi: exit code 9"),
        ("echo No devices were found", "nvidia-smi: No devices were found"),
    ],
)
def test_driver_that_does_not_answer(tool, tmp_path, line, problem):
    tool(line)
    assert (nvidia_gpus(), nvidia_problem()) == ([], problem)


def test_driver_that_hangs_is_not_waited_for(tool, monkeypatch):
    monkeypatch.setattr(machine, "SECONDS", 0.05)
    tool("exec sleep 5")
    assert "timed out" in nvidia_problem()


def test_hardware_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine, "DEVICE_FILES", ())
    monkeypatch.setattr(machine, "PCI_DEVICES", tmp_path / "pci")
    for name, vendor, kind in (("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300")):
        _pci_device(tmp_path / "pci" / name, vendor, kind)
    assert nvidia_problem() == ""  # the graphics of another maker, and a sound device
    _pci_device(tmp_path / "pci" / "2", "0x10de", "0x030200")
    assert nvidia_problem() == "there is no nvidia-smi: the driver is not installed"


def test_device_files(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "DEVICE_FILES", (tmp_path / "nvidia0",))
    assert not machine.has_nvidia_gpu()
    (tmp_path / "nvidia0").touch()
    assert machine.has_nvidia_gpu()


def _pci_device(folder, vendor, kind):
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")
