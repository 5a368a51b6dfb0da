from __future__ import annotations

import os

import pytest

from usrn_keras.machine import nvidia
from usrn_keras.machine.nvidia import gpu_memory, has_nvidia_gpu, look_for_nvidia

H200 = "NVIDIA H200, 143771, 140000, 9.0, 580.65.06"
MIB = 2**20


@pytest.fixture
def tool(tmp_path, monkeypatch):
    """Makes an nvidia-smi that runs a line of shell; there are no device files."""
    monkeypatch.setattr(nvidia, "DEVICE_FILES", (tmp_path / "nvidia0",))

    def make(line: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)

    return make


def test_what_the_driver_tells(tool, tmp_path):
    tool(f"echo '{H200}'")
    (gpu,) = look_for_nvidia(tmp_path).gpus
    assert (gpu.name, gpu.capability, gpu.driver) == ("NVIDIA H200", 9.0, "580.65.06")
    assert (gpu.total, gpu.free) == (143771 * MIB, 140000 * MIB)
    assert gpu_memory() == 143771 * MIB


def test_one_gpu_is_asked_for(tool, tmp_path):
    tool("""case "$*" in *GPU-7*) echo 'seventh, 2, 1, 9.0, 580';; *) echo 'other, 2, 1, 9.0, 580';; esac""")
    assert look_for_nvidia(tmp_path, device="GPU-7").gpus[0].name == "seventh"
    assert look_for_nvidia(tmp_path).gpus[0].name == "other"


def test_figures_that_an_old_driver_does_not_know(tool, tmp_path):
    tool("echo 'GeForce GT, [N/A], [N/A], [N/A], 390.1'")
    (gpu,) = look_for_nvidia(tmp_path).gpus
    assert (gpu.total, gpu.free, gpu.capability) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("echo NVIDIA-SMI has failed; exit 9", "nvidia-smi: NVIDIA-SMI has failed"),
        ("exit 9", "nvidia-smi: exit code 9"),
        ("echo No devices were found", "nvidia-smi: No devices were found"),
    ],
)
def test_a_driver_that_does_not_answer(tool, tmp_path, line, fault):
    tool(line)
    found = look_for_nvidia(tmp_path)
    assert (found.gpus, found.hardware, found.fault) == ((), False, fault)
    assert gpu_memory() is None


def test_a_driver_that_hangs_is_not_waited_for(tool, tmp_path, monkeypatch):
    monkeypatch.setattr(nvidia, "SECONDS", 0.05)
    tool("exec sleep 5")
    assert "timed out" in look_for_nvidia(tmp_path).fault


def test_hardware_without_a_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nvidia, "DEVICE_FILES", ())
    for name, vendor, kind in (("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300")):
        _pci_device(tmp_path / "pci" / name, vendor, kind)
    assert not look_for_nvidia(tmp_path / "pci").hardware  # another maker's, and only its sound
    _pci_device(tmp_path / "pci" / "2", "0x10de", "0x030200")
    found = look_for_nvidia(tmp_path / "pci")
    assert found.hardware
    assert found.fault == "there is no nvidia-smi: the driver is not installed"


def test_device_files(monkeypatch, tmp_path):
    monkeypatch.setattr(nvidia, "DEVICE_FILES", (tmp_path / "nvidia0",))
    assert not has_nvidia_gpu()
    (tmp_path / "nvidia0").touch()
    assert has_nvidia_gpu()


def _pci_device(folder, vendor, kind):
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")
