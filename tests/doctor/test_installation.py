from __future__ import annotations

import pytest

from usrn_keras import machine
from usrn_keras.doctor import installation
from usrn_keras.errors import BackendError
from usrn_keras.machine import NvidiaGpu

GIB = 2**30
CPU, GPU = ({"kind": kind, "name": kind.upper(), "memory": None} for kind in ("cpu", "gpu"))
H200 = NvidiaGpu("NVIDIA H200", 140 * GIB, 139 * GIB, 9.0, "580.65.06")


def names(section):
    return [finding.name for finding in section.findings]


@pytest.fixture
def installed(monkeypatch):
    """Lets packages be installed in other versions, where keras, numpy and jax have bounds."""
    monkeypatch.setattr(installation, "_requirements", lambda: ["keras>=3.15,<4", "numpy>=2.4", "jax>=0.10"])
    versions = {"keras": "3.15.1", "numpy": "2.4.6", "jax": "0.10.2"}

    def install(**changes):
        monkeypatch.setattr(installation, "version", (versions | changes).get)

    install()
    return install


def test_tested_versions(installed):
    found = installation.versions_section({})
    assert found.findings == []
    assert found.lines[1].endswith("keras-cv (not installed)")
    installed(keras="3.16.0.dev1", numpy="2.4.6+local")
    assert installation.versions_section({}).findings == []


def test_versions_out_of_bounds_are_one_finding_with_one_command(installed):
    installed(keras="4.0", numpy="2.3.9", jax="0.11")
    (finding,) = installation.versions_section({}).findings
    assert finding.name == "packages_untested" and not finding.error
    assert finding.lines == ["keras 4.0, needs <4,>=3.15", "numpy 2.3.9, needs >=2.4"]
    assert finding.advice == "pip install 'keras<4,>=3.15' 'numpy>=2.4'"


def test_missing_packages_break_training_except_backends(installed):
    installed(numpy=None, jax=None)
    (finding,) = installation.versions_section({}).findings
    assert finding.error is BackendError and finding.message.endswith("not installed: numpy")


def test_packages_that_cannot_be_loaded_break_training(installed):
    broken = {"numpy": "ImportError: wrong ABI", "cv2": "ModuleNotFoundError: no cv2"}
    (finding,) = installation.versions_section(broken).findings  # OpenCV is not installed here at all
    assert finding.error is BackendError
    assert finding.message == "numpy 2.4.6 cannot be loaded: ImportError: wrong ABI"
    assert finding.advice == "pip install --force-reinstall numpy"


def test_this_installation(monkeypatch):
    assert installation.versions_section({}).findings == []
    monkeypatch.setattr(installation, "DISTRIBUTION", "no-such-package-of-ours")
    assert installation.versions_section({}).findings == []  # a checkout that is not installed


def probe(*devices, error="", loads=True, installed=True):
    facts = {"installed": installed, "version": "1.2", "loads": loads, "error": error}
    return facts | {"seconds": 0.9, "devices": list(devices)}


ABSENT = probe(installed=False, loads=False)
BROKEN = probe(error="ImportError: jaxlib is missing", loads=False)


def backends(chosen, **probes):
    return installation.backend_section(chosen, "KERAS_BACKEND", probes)


def test_backend_that_works():
    found = backends("jax", tensorflow=ABSENT, jax=probe(GPU | {"memory": 128 * GIB}, CPU))
    assert found.values["works"] and found.findings == []
    assert found.lines == [
        "jax (KERAS_BACKEND); KERAS_BACKEND=NAME usrn ... selects another",
        "tensorflow: not installed (pip install tensorflow)",
        "jax 1.2: works, loads in 0.9 CPU s, sees GPU (128.0 GiB), CPU",
    ]


@pytest.mark.parametrize(
    ("chosen", "probes", "message", "advice"),
    [
        (
            "jax",
            {"jax": BROKEN, "torch": probe(CPU)},
            "cannot be loaded: ImportError: jaxlib is missing",
            [
                "pip install --force-reinstall jax jaxlib",
                "or use another backend: export KERAS_BACKEND=torch",
            ],
        ),
        (
            "jax",
            {"jax": probe(CPU, error="no kernel image is available")},
            "fails to compute: no kernel image is available",
            ["pip install --force-reinstall jax jaxlib"],  # there is no other
        ),
        (
            "tensorflow",
            {"tensorflow": ABSENT, "jax": probe(CPU)},
            "is not installed",
            ["pip install tensorflow", "or use another backend: export KERAS_BACKEND=jax"],
        ),
        ("theano", {"torch": probe(CPU)}, "allowed: tensorflow, jax, torch", ["export KERAS_BACKEND=torch"]),
    ],
)
def test_chosen_backend_that_does_not_work(chosen, probes, message, advice):
    found = backends(chosen, **probes)
    (finding,) = found.findings
    assert finding.error is BackendError and not found.values["works"]
    assert finding.message.endswith(message) and finding.advice.splitlines() == advice


def test_other_broken_backends_are_notes_except_tensorflow_which_keras_loads():
    killed = probe(error="killed by SIGILL", loads=False)
    first, second = backends("torch", tensorflow=killed, jax=BROKEN, torch=probe(CPU)).findings
    assert (first.name, first.level, first.error) == ("tensorflow_broken", "change", None)
    assert "Keras imports it with every backend" in first.message
    assert (second.name, second.level) == ("jax_broken", "note") and "pip uninstall jax" in second.advice


@pytest.fixture
def gpus(monkeypatch):
    """Lets the machine have GPUs, or a problem with one."""

    def have(*gpus, problem=""):
        monkeypatch.setattr(machine, "nvidia_gpus", lambda: list(gpus))
        monkeypatch.setattr(machine, "nvidia_problem", lambda: problem)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return have


def test_no_gpu_is_no_finding(gpus):
    gpus()
    found = installation.gpu_section("jax", probe(CPU), [])
    assert found.findings == [] and found.lines == ["no NVIDIA GPU", "jax trains on CPU"]


def test_gpu_that_trains(gpus):
    gpus(H200)
    found = installation.gpu_section("torch", probe(GPU, CPU), [])
    assert found.findings == [] and found.values["used"]
    assert found.lines == [
        "NVIDIA H200, 140.0 GiB, 139.0 GiB free, compute capability 9.0, driver 580.65.06",
        "torch trains on GPU",
    ]


def test_gpu_that_the_backend_does_not_see(gpus):
    gpus(H200)
    (finding,) = installation.gpu_section("jax", probe(CPU), ["first", "CUDA is old"]).findings
    assert finding.name == "gpu_unused" and finding.advice == "pip install 'jax[cuda13]'"
    assert "(NVIDIA H200), but jax does not find it" in finding.message and finding.lines == ["CUDA is old"]
    for broken in (None, BROKEN):  # which the section of backends reports
        assert installation.gpu_section("jax", broken, []).findings == []


@pytest.mark.parametrize(
    ("driver", "capability", "old"),
    [("580.65.06", 9.0, False), ("550.54.14", 9.0, True), ("580.65.06", 6.1, True), ("unknown", None, False)],
)
def test_old_drivers_and_gpus_need_cuda_12(driver, capability, old):
    gpu = NvidiaGpu("GPU", None, None, capability, driver)
    assert installation.install_for_gpu("jax", gpu) == f"pip install 'jax[cuda{12 if old else 13}]'"
    assert ("CUDA 12" in installation.install_for_gpu("torch", gpu)) == old


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpu_that_is_hidden(gpus, monkeypatch, value):
    gpus(H200)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    (finding,) = installation.gpu_section("jax", probe(CPU), []).findings
    assert (finding.name, finding.advice) == ("gpu_hidden", "unset CUDA_VISIBLE_DEVICES")


def test_gpu_without_a_driver(gpus):
    gpus(problem="nvidia-smi: it failed")
    found = installation.gpu_section("jax", probe(CPU), [])
    assert names(found) == ["gpu_driver"] and "nvidia-smi: it failed" in found.findings[0].message
    assert "without a working driver" in found.lines[0]


def test_gpu_that_others_use(gpus):
    gpus(NvidiaGpu("NVIDIA H200", 140 * GIB, 40 * GIB, 9.0, "580.65.06"))
    (finding,) = installation.gpu_section("jax", probe(GPU), []).findings
    assert (finding.name, finding.level) == ("gpu_taken", "note")
    assert "100.0 GiB of the 140.0 GiB" in finding.message
    gpus(NvidiaGpu("old", None, None, None, "390"))
    assert installation.gpu_section("jax", probe(GPU), []).findings == []


@pytest.mark.parametrize(
    ("gain", "device", "asked", "recommended", "is_change"),
    [
        (2.0, GPU, "float32", "mixed_bfloat16", True),
        (2.0, GPU, "mixed_bfloat16", "mixed_bfloat16", False),
        (2.0, GPU, None, "mixed_bfloat16", False),
        (1.1, GPU, "float32", "float32", False),
        (0.5, GPU, "mixed_bfloat16", "float32", True),
        (0.5, CPU, "mixed_bfloat16", "float32", True),
        (2.0, CPU, "mixed_bfloat16", "float32", False),  # somebody's choice, and not a slow one
    ],
)
def test_precision(gain, device, asked, recommended, is_change):
    found = installation.precision_section({"float32": 1e11, "mixed_bfloat16": gain * 1e11}, device, asked)
    assert found.values["recommended"] == recommended
    advice = [f"--set training.precision={recommended}"] * is_change
    assert [finding.advice for finding in found.findings] == advice
    assert ("does not predict the speed of a whole step" in found.lines[1]) == (device is CPU)
