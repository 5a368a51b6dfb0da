from __future__ import annotations

import pytest

from usrn_keras.doctor.gpu import GpuSection, install_for_gpu
from usrn_keras.doctor.probe import Device, Probe
from usrn_keras.machine.nvidia import Nvidia, NvidiaGpu

GIB = 2**30
H200 = NvidiaGpu("NVIDIA H200", 140 * GIB, 139 * GIB, 9.0, "580.65.06")
CPU = Device("cpu", "CPU")
GPU = Device("gpu", "NVIDIA H200", 140 * GIB, "9.0")
ONE = Nvidia((H200,), True)


def probe(name="jax", *devices, said=()):
    return Probe(name, True, "1.0", loads=True, devices=devices, said=said)


def test_no_gpu_is_no_finding():
    section = GpuSection(Nvidia(fault="nvidia-smi: No devices were found"), probe("jax", CPU))
    assert section.findings() == []
    assert section.lines() == ["no NVIDIA GPU", "jax trains on CPU"]


def test_one_that_trains():
    section = GpuSection(ONE, probe("torch", GPU, CPU))
    assert section.findings() == []
    assert section.lines() == [
        "NVIDIA H200, 140.0 GiB, 139.0 GiB free, compute capability 9.0, driver 580.65.06",
        "torch trains on NVIDIA H200",
    ]
    assert section.to_json()["used"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("jax", "pip install 'jax[cuda13]'"),
        ("tensorflow", "pip install 'tensorflow[and-cuda]'"),
        ("torch", "pip install --force-reinstall torch"),
    ],
)
def test_one_that_the_backend_does_not_see(name, command):
    (finding,) = GpuSection(ONE, probe(name, CPU, said=("first", "CUDA is old"))).findings()
    assert finding.name == "gpu_unused" and not finding.breaks
    assert command in finding.advice
    assert f"(NVIDIA H200), and {name} does not see it" in finding.message
    assert finding.lines == ("CUDA is old",)


@pytest.mark.parametrize(
    ("driver", "capability", "old"),
    [
        ("580.65.06", 9.0, False),
        ("550.54.14", 9.0, True),
        ("580.65.06", 6.1, True),
        ("unknown", None, False),
    ],
)
def test_old_drivers_and_gpus_need_cuda_12(driver, capability, old):
    gpu = NvidiaGpu("GPU", None, None, capability, driver)
    assert install_for_gpu("jax", gpu) == f"pip install 'jax[cuda{12 if old else 13}]'"
    assert ("CUDA 12" in install_for_gpu("torch", gpu)) == old


@pytest.mark.parametrize("value", ["", "-1"])
def test_one_that_is_hidden(value):
    (finding,) = GpuSection(ONE, probe("jax", CPU), visible=value).findings()
    assert (finding.name, finding.advice) == ("gpu_hidden", "unset CUDA_VISIBLE_DEVICES")


def test_hardware_without_a_driver():
    section = GpuSection(Nvidia((), True, "nvidia-smi: it failed"), probe("jax", CPU))
    (finding,) = section.findings()
    assert finding.name == "gpu_driver"
    assert "nvidia-smi: it failed" in finding.message and "--gpus all" in finding.advice
    assert "without a driver that answers" in section.lines()[0]


def test_one_that_others_use():
    busy = NvidiaGpu("NVIDIA H200", 140 * GIB, 40 * GIB, 9.0, "580.65.06")
    (finding,) = GpuSection(Nvidia((busy,), True), probe("jax", GPU)).findings()
    assert finding.name == "gpu_taken" and finding.level == "note"
    assert "100.0 GiB of the 140.0 GiB" in finding.message
    unknown = NvidiaGpu("old", None, None, None, "390")
    assert GpuSection(Nvidia((unknown,), True), probe("jax", GPU)).findings() == []


@pytest.mark.parametrize("broken", [None, Probe("jax", True, error="broken")])
def test_nothing_is_said_of_a_backend_that_does_not_load(broken):
    assert GpuSection(ONE, broken).findings() == []
