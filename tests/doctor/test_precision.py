from __future__ import annotations

import pytest

from usrn_keras.doctor.precision import PrecisionSection
from usrn_keras.doctor.probe import Device, Probe
from usrn_keras.machine.cores import Cores

CPU, GPU = Device("cpu", "CPU"), Device("gpu", "NVIDIA H200", None, "9.0")
OLD_GPU = Device("gpu", "Tesla T4", None, "7.5")
CORES = Cores(2, 2, name="Some CPU", bfloat16=True)


def section(gain, *devices, asked=None, cores=CORES, tf32=True):
    flops = {"float32": 1e11, "bfloat16": gain * 1e11} if gain else {}
    return PrecisionSection(
        Probe("jax", True, loads=True, devices=devices, flops=flops, tf32=tf32), cores, asked
    )


@pytest.mark.parametrize(
    ("gain", "device", "recommended"),
    [
        (2.0, GPU, "mixed_bfloat16"),
        (1.1, GPU, "float32"),
        (0.4, OLD_GPU, "float32"),
        (2.0, CPU, "float32"),  # tells little of a whole step
        (None, CPU, None),
    ],
)
def test_what_is_recommended(gain, device, recommended):
    assert section(gain, device).recommended == recommended


@pytest.mark.parametrize(
    ("gain", "device", "asked", "advice"),
    [
        (2.0, GPU, "float32", "--set training.precision=mixed_bfloat16"),
        (0.5, OLD_GPU, "mixed_bfloat16", "--set training.precision=float32"),
        (0.5, CPU, "mixed_bfloat16", "--set training.precision=float32"),
    ],
)
def test_a_recipe_that_asks_for_the_slower(gain, device, asked, advice):
    (finding,) = section(gain, device, asked=asked).findings()
    assert finding.advice == advice
    assert f"{gain:.1f} times" in finding.message


@pytest.mark.parametrize(
    ("gain", "device", "asked"),
    [
        (2.0, GPU, "mixed_bfloat16"),
        (2.0, GPU, None),
        (2.0, CPU, "mixed_bfloat16"),  # somebody's choice, and not a slow one
        (None, GPU, "float32"),
    ],
)
def test_nothing_to_change(gain, device, asked):
    assert section(gain, device, asked=asked).findings() == []


def test_lines_of_a_gpu():
    lines = section(2.0, GPU, tf32=False).lines()
    assert lines[0].endswith("GFLOP/s: float32 100, bfloat16 200 on NVIDIA H200")
    assert lines[1] == "float32 convolutions do not take TF32 on this GPU"
    assert lines[2] == 'training.precision = "mixed_bfloat16": bfloat16 is 2.0 times as fast'
    assert len(section(2.0, OLD_GPU).lines()) == 2  # has no TF32


def test_lines_of_a_cpu():
    assert "on a CPU that tells little of a whole step" in section(2.0, CPU).lines()[-1]
    assert "no instructions for it" in section(0.3, CPU, cores=Cores(2, 2)).lines()[-1]
    assert section(None, CPU).lines() == ["not measured: the backend does not compute"]


def test_json():
    values = section(2.0, GPU).to_json()
    assert values["bfloat16_gain"] == 2 and values["tf32"] and values["recommended"] == "mixed_bfloat16"
    assert not section(2.0, CPU).to_json()["tf32"]
    assert PrecisionSection(None, CORES).to_json()["convolution_flops"] == {}
