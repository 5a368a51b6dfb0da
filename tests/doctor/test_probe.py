from __future__ import annotations

import keras
import pytest

from usrn_keras.doctor import child, probe
from usrn_keras.doctor.probe import Device, probe_backends


def test_what_backends_tell_of_themselves(fakes):
    fakes(gpus=2)
    found = probe_backends("torch")
    torch = found["torch"]
    assert torch.installed and torch.loads and not torch.error
    gpu = Device("gpu", "NVIDIA H200", 150 * 10**9, "9.0")
    assert torch.devices == (gpu, gpu, Device("cpu", "CPU"))
    assert torch.accelerators == (gpu, gpu)
    assert torch.flops["bfloat16"] / torch.flops["float32"] == pytest.approx(2, rel=0.3)
    for name in ("jax", "tensorflow"):
        assert found[name].devices == (Device("cpu", "CPU"),)
        assert not found[name].flops  # only the chosen one is timed


def test_broken_ones_are_told_apart(fakes):
    fakes(
        torch="import os, signal\nos.kill(os.getpid(), signal.SIGILL)",
        jax="raise ImportError('jaxlib is version 0.1')",
        tensorflow="def __getattr__(name): raise RuntimeError('no devices\\nbecause')",
    )
    found = probe_backends("torch")
    assert found["torch"].error.startswith("killed by SIGILL")
    assert found["jax"].error == "ImportError: jaxlib is version 0.1"
    assert not any(probe.loads for probe in found.values())
    assert found["tensorflow"].error == "because"  # the last line


def test_a_device_that_computes_nothing(fakes):
    fakes(jax="from types import SimpleNamespace as N\n"
              "config = N(jax_default_matmul_precision=None)\n"
              "def devices(): raise RuntimeError('CUDA_ERROR_NO_DEVICE\\nmore')\n")  # fmt: skip
    jax = probe_backends("jax")["jax"]
    assert jax.loads
    assert jax.error.startswith("RuntimeError: CUDA_ERROR_NO_DEVICE; AttributeError")


def test_keras_that_is_broken_breaks_the_chosen_backend_alone(fakes):
    fakes(keras="raise ImportError('no ml_dtypes')")
    found = probe_backends("torch")
    assert found["torch"].error == "ImportError: no ml_dtypes"
    assert not found["jax"].error


def test_one_that_is_not_installed(fakes, monkeypatch):
    fakes()
    monkeypatch.setattr(probe, "is_installed", lambda name: name == "torch")
    found = probe_backends("torch")
    assert [name for name, its in found.items() if its.installed] == ["torch"]
    assert not found["jax"].error


def test_what_is_said_about_gpus(fakes):
    fakes()
    assert probe_backends("torch")["torch"].said == ("CUDA initialization: no driver",)


@pytest.mark.every_backend
def test_the_real_backend():
    """What the process asks of it, here within this one, where it is loaded already."""
    backend = child.BACKENDS[keras.backend.backend()]()
    devices = [Device(**device) for device in backend.devices()]
    assert devices[-1].kind in ("cpu", "gpu", "tpu")
    assert isinstance(backend.tf32(), bool)
    rates = child._rates(backend, [])
    assert list(rates) == ["float32", "bfloat16"]
    assert all(1e8 < rate < 1e16 for rate in rates.values())
