from __future__ import annotations

from usrn_keras.doctor.backend import BackendSection
from usrn_keras.doctor.probe import Device, Probe
from usrn_keras.errors import BackendError

CPU = (Device("cpu", "CPU"),)
JAX = Probe("jax", True, "0.10.2", loads=True, seconds=0.9, devices=CPU)
BROKEN = Probe("jax", True, "0.10.2", error="ImportError: jaxlib is missing")
TORCH = Probe("torch", True, "2.13.0", loads=True, devices=CPU)
ABSENT = Probe("tensorflow", False)


def section(chosen, *probes):
    return BackendSection(chosen, "KERAS_BACKEND", {probe.name: probe for probe in probes})


def test_one_that_works():
    found = section("jax", ABSENT, JAX)
    assert found.works and found.findings() == []
    assert found.lines() == [
        "jax (KERAS_BACKEND); KERAS_BACKEND=NAME usrn ... takes another",
        "tensorflow: not installed (pip install tensorflow)",
        "jax 0.10.2: works, loads in 0.9 CPU s, sees CPU",
    ]


def test_one_that_is_broken_and_another_that_works():
    found = section("jax", BROKEN, TORCH)
    (finding,) = found.findings()
    assert finding.error is BackendError and not found.works
    assert finding.message.endswith("cannot be loaded: ImportError: jaxlib is missing")
    assert finding.advice.splitlines() == [
        "pip install --force-reinstall jax jaxlib",
        "or for now: export KERAS_BACKEND=torch",
    ]
    assert "jax 0.10.2: BROKEN: ImportError: jaxlib is missing" in found.lines()


def test_one_that_loads_and_does_not_compute():
    dead = Probe("jax", True, "0.10.2", error="no kernel image is available", loads=True, devices=CPU)
    (finding,) = section("jax", dead).findings()
    assert "does not compute: no kernel image" in finding.message
    assert finding.advice == "pip install --force-reinstall jax jaxlib"  # there is no other


def test_one_that_is_not_installed():
    (finding,) = section("tensorflow", ABSENT, JAX).findings()
    assert finding.name == "backend_missing" and finding.breaks
    assert finding.advice.splitlines() == ["pip install tensorflow", "or for now: export KERAS_BACKEND=jax"]


def test_one_that_keras_does_not_know():
    found = section("theano", JAX, TORCH)
    (finding,) = found.findings()
    assert finding.name == "backend_unknown" and finding.breaks and not found.works
    assert finding.advice == "export KERAS_BACKEND=jax"
    assert "allowed: tensorflow, jax, torch" in finding.message


def test_a_broken_one_beside_is_a_note_but_for_tensorflow_which_keras_loads():
    broken = Probe("tensorflow", True, "2.21.0", error="killed by SIGILL: exit code -4")
    first, second = section("torch", broken, BROKEN, TORCH).findings()
    assert (first.name, first.level, first.breaks) == ("tensorflow_broken", "change", False)
    assert "Keras loads it beside any backend" in first.message
    assert (second.name, second.level) == ("jax_broken", "note")
    assert "pip uninstall jax" in second.advice


def test_memory_of_a_gpu_stands_beside_its_name():
    gpu = Probe("jax", True, "0.10.2", loads=True, devices=(Device("gpu", "NVIDIA H200", 2**37), *CPU))
    found = section("jax", gpu)
    assert found.on_accelerator
    assert found.lines()[1].endswith("sees NVIDIA H200 (128 GiB), CPU")
    assert found.to_json()["backends"]["jax"]["devices"][0]["memory"] == 2**37
