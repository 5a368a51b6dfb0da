from __future__ import annotations

import shutil
from collections import namedtuple

import psutil
import pytest

from usrn_keras import machine
from usrn_keras.doctor import doctor_checks as checks
from usrn_keras.doctor.probes import CPU
from usrn_keras.errors import (
    BackendError,
    DataError,
    OutOfMemoryError,
    RecipeError,
    StorageError,
    WeightsError,
)
from usrn_keras.machine import NvidiaGpu
from usrn_keras.worker import WorkerError

GIB = 2**30
GPU = "GPU"
H200 = NvidiaGpu("NVIDIA H200", 140 * GIB, 139 * GIB, 9.0, "580.65.06")
Usage = namedtuple("Usage", "total used free")


def names(checked):
    return [finding.name for finding in checked[1]]


@pytest.fixture
def installed(monkeypatch):
    """Lets packages be installed in other versions, where keras, numpy and jax have bounds."""
    required = ["keras>=3.15,<4", "numpy>=2.4", "jax>=0.10", "onnx>=9; extra == 'export'"]
    monkeypatch.setattr(checks.metadata, "requires", lambda name: required)
    versions = {"keras": "3.15.1", "numpy": "2.4.6", "jax": "0.10.2", "onnx": "1.0"}

    def install(**changes):
        monkeypatch.setattr(checks, "version", (versions | changes).get)

    install()
    return install


def test_tested_versions(installed):
    facts, found = checks.check_versions()
    assert found == []
    assert facts["packages"]["keras"] == "3.15.1" and facts["packages"]["h5py"] is None
    installed(keras="3.16.0.dev1", numpy="2.4.6+local")
    assert checks.check_versions()[1] == []


def test_versions_out_of_bounds_are_one_finding_with_one_command(installed):
    installed(keras="4.0", numpy="2.3.9", jax="0.11")
    _, (finding,) = checks.check_versions()
    assert finding.name == "packages_untested" and not finding.error
    assert finding.lines == ["keras 4.0, needs <4,>=3.15", "numpy 2.3.9, needs >=2.4"]
    assert finding.advice == "pip install 'keras<4,>=3.15' 'numpy>=2.4'"


def test_missing_packages_break_training_except_backends(installed):
    installed(numpy=None, jax=None)
    _, (finding,) = checks.check_versions()
    assert finding.error is BackendError and finding.message.endswith("not installed: numpy")


def test_packages_that_cannot_be_loaded_break_training(installed, tmp_path, monkeypatch):
    (tmp_path / "wrong_package.py").write_text("raise ImportError('wrong ABI')")
    monkeypatch.syspath_prepend(tmp_path)
    modules = {"wrong_package": "numpy", "nothing_like_this": "opencv-python-headless"}
    monkeypatch.setattr(checks, "MODULES", modules)
    _, (finding,) = checks.check_versions()  # OpenCV is not installed here at all
    assert finding.error is BackendError
    assert finding.message == "numpy 2.4.6 cannot be loaded: ImportError: wrong ABI"
    assert finding.advice == "pip install --force-reinstall numpy"


def test_this_installation(monkeypatch):
    assert checks.check_versions()[1] == []
    monkeypatch.setattr(checks, "DISTRIBUTION", "no-such-package-of-ours")
    facts, found = checks.check_versions()  # a checkout that is not installed
    assert found == [] and facts["packages"]["keras"]


def backend(*devices, error="", said=()):
    return {"version": "1.2", "error": error, "devices": list(devices), "said": list(said)}


BROKEN = backend(error="ImportError: jaxlib is missing")


def check_backends(chosen, **backends):
    return checks.check_backend(chosen, "KERAS_BACKEND", backends)


def test_backend_that_works():
    facts, found = check_backends("jax", jax=backend(GPU, CPU), torch=backend(CPU))
    assert found == []
    assert facts == {
        "chosen": "jax",
        "chosen_by": "KERAS_BACKEND",
        "jax": "1.2, works on GPU, CPU",
        "tensorflow": "not installed",
        "torch": "1.2, works on CPU",
    }


@pytest.mark.parametrize(
    ("chosen", "backends", "message", "advice"),
    [
        (
            "jax",
            {"jax": BROKEN, "torch": backend(CPU)},
            "does not work: ImportError: jaxlib is missing",
            [
                "pip install --force-reinstall jax jaxlib",
                "or use another backend: export KERAS_BACKEND=torch",
            ],
        ),
        (
            "jax",
            {"jax": backend(error="no kernel image is available"), "torch": BROKEN},
            "does not work: no kernel image is available",
            ["pip install --force-reinstall jax jaxlib"],  # there is no other
        ),
        (
            "tensorflow",
            {"jax": backend(CPU)},
            "is not installed",
            ["pip install tensorflow", "or use another backend: export KERAS_BACKEND=jax"],
        ),
        (
            "theano",
            {"torch": backend(CPU)},
            "allowed: tensorflow, jax, torch",
            ["export KERAS_BACKEND=torch"],
        ),
    ],
)
def test_chosen_backend_that_does_not_work(chosen, backends, message, advice):
    finding = check_backends(chosen, **backends)[1][0]
    assert (finding.name, finding.error) == ("backend", BackendError)
    assert finding.message.endswith(message) and finding.advice.splitlines() == advice


def test_other_broken_backends_are_notes_except_tensorflow_which_keras_loads():
    killed = backend(error="killed by SIGILL")
    _, (first, second) = check_backends("torch", tensorflow=killed, jax=BROKEN, torch=backend(CPU))
    assert (first.name, first.level) == ("tensorflow_broken", "change")
    assert "Keras imports it with every backend" in first.message
    assert (second.name, second.level) == ("jax_broken", "note") and "pip uninstall jax" in second.advice


@pytest.fixture(autouse=True)
def visible_gpus(monkeypatch):
    monkeypatch.setattr(machine, "nvidia_problem", lambda: "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def check_gpu(name, backend, *gpus):
    return checks.check_gpu(name, {name: backend}, gpus)


def test_no_gpu_is_no_finding():
    assert check_gpu("jax", backend(CPU)) == ({"nvidia": [], "trains_on": "CPU"}, [])


def test_gpu_that_trains():
    facts, found = check_gpu("torch", backend(GPU, CPU), H200)
    assert found == []
    assert facts == {"nvidia": ["NVIDIA H200, 140.0 GiB, driver 580.65.06"], "trains_on": "GPU"}


def test_gpu_that_the_backend_does_not_see():
    _, (finding,) = check_gpu("jax", backend(CPU, said=["CUDA is old"]), H200)
    assert finding.name == "gpu_unused" and finding.advice == "pip install 'jax[cuda13]'"
    assert "(NVIDIA H200), but jax does not find it" in finding.message and finding.lines == ["CUDA is old"]
    assert check_gpu("jax", BROKEN, H200)[1] == []  # the section of backends reports it
    assert checks.check_gpu("theano", {}, [H200])[1] == []


@pytest.mark.parametrize(
    ("driver", "capability", "old"),
    [("580.65.06", 9.0, False), ("550.54.14", 9.0, True), ("580.65.06", 6.1, True), ("unknown", None, False)],
)
def test_old_drivers_and_gpus_need_cuda_12(driver, capability, old):
    gpu = NvidiaGpu("GPU", None, None, capability, driver)
    assert checks.install_for_gpu("jax", gpu) == f"pip install 'jax[cuda{12 if old else 13}]'"
    assert ("CUDA 12" in checks.install_for_gpu("torch", gpu)) == old


def test_driver_that_is_too_old_for_every_build():
    gpu = NvidiaGpu("GPU", None, None, 8.0, "470.82")
    assert checks.install_for_gpu("jax", gpu).startswith("the driver 470.82 is too old: update it to 525")


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpu_that_is_hidden(monkeypatch, value):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    _, (finding,) = check_gpu("jax", backend(CPU), H200)
    assert (finding.name, finding.advice) == ("gpu_hidden", "unset CUDA_VISIBLE_DEVICES")


def test_gpus_that_are_left_are_named():
    small = NvidiaGpu("NVIDIA A100", 40 * GIB, None, 8.0, "580.65.06")
    facts, found = checks.check_gpu("jax", {"jax": backend("NVIDIA A100", CPU)}, [H200, small], [small])
    assert facts["nvidia"] == ["NVIDIA A100, 40.0 GiB, driver 580.65.06; CUDA_VISIBLE_DEVICES hides 1 of 2"]
    assert not found
    _, (finding,) = checks.check_gpu("jax", {"jax": backend(CPU)}, [H200, small], [small])
    assert "NVIDIA A100" in finding.message


def test_gpu_without_a_driver(monkeypatch):
    monkeypatch.setattr(machine, "nvidia_problem", lambda: "nvidia-smi: it failed")
    facts, (finding,) = check_gpu("jax", backend(CPU))
    assert finding.name == "gpu_driver" and "nvidia-smi: it failed" in finding.message
    assert facts["nvidia"] == ["driver does not work"]


@pytest.fixture
def cores(monkeypatch):
    """Lets the machine have cores and memory, and variables of threads be set."""

    def have(usable=4, allowed=4, free=8 * GIB, **variables):
        monkeypatch.setattr(machine, "usable_cores", lambda: usable)
        monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0] * allowed, raising=False)
        monkeypatch.setattr(machine, "available_memory", lambda: free)
        for name in checks.THREADS.values():
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return have


@pytest.mark.parametrize(
    ("variables", "backend", "on_gpu", "advice"),
    [
        ({}, "torch", False, []),
        ({"OMP_NUM_THREADS": "1"}, "torch", False, ["unset OMP_NUM_THREADS"]),
        ({"OMP_NUM_THREADS": "1"}, "torch", True, []),
        ({"OMP_NUM_THREADS": "1"}, "jax", False, []),
        ({"OMP_NUM_THREADS": "8"}, "torch", False, ["export OMP_NUM_THREADS=4"]),
        ({"TF_NUM_INTRAOP_THREADS": "2"}, "tensorflow", False, ["unset TF_NUM_INTRAOP_THREADS"]),
        ({"OMP_NUM_THREADS": "many"}, "torch", False, []),
    ],
)
def test_threads(cores, variables, backend, on_gpu, advice):
    cores(**variables)
    facts, found = checks.check_machine(backend, on_cpu=not on_gpu)
    assert [finding.advice for finding in found] == advice
    assert facts["threads"] == variables


@pytest.mark.parametrize(
    ("backend", "advice"),
    [("torch", "export OMP_NUM_THREADS=2"), ("jax", "taskset -c 0-1 usrn fit ...")],
)
def test_quota_that_backends_do_not_see(cores, backend, advice):
    cores(usable=2, allowed=16)
    _, (finding,) = checks.check_machine(backend, on_cpu=True)
    assert (finding.name, finding.advice) == ("many_threads", advice)


def test_little_memory(cores):
    cores(free=GIB)
    facts, (finding,) = checks.check_machine("torch", on_cpu=True)
    assert finding.name == "little_memory" and "only 1.0 GiB" in finding.message
    assert facts["free_memory_GiB"] == 1.0


def test_disk_that_is_written(tmp_path):
    facts, found = checks.check_disk(tmp_path / "a/b")
    assert found == []
    assert facts["run_folder"] == f"{tmp_path}/a/b" and facts["free_GiB"] > 2
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_nearly_full(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(GIB, 0, GIB))
    _, (finding,) = checks.check_disk(tmp_path)
    assert finding.name == "little_space" and "only 1.0 GiB of disk space is free" in finding.message


def test_disk_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checks.tempfile, "TemporaryFile", refuse)
    facts, (finding,) = checks.check_disk(tmp_path)
    assert finding.error is StorageError and "cannot be written: Permission denied" in finding.message
    assert facts["free_GiB"] is None


class FakeWorker:
    """Sends messages, and then ends with a result or an error."""

    def __init__(self, messages, end):
        self.messages, self.end = messages, end

    def __call__(self, function, order, backend, on_message):
        self.order, self.on_message = order, on_message
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def result(self, timeout):
        for message in self.messages:
            self.on_message(message)
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


LOADER = {"loader_workers": 2, "loader_images_per_second": 200.0}
ORDER = {"recipe": "x.toml", "overrides": [], "folder": "runs/x", "timed": True}


@pytest.fixture
def check_recipe(monkeypatch):
    """Checks a recipe whose worker sends messages, and then ends with a result or an error."""

    def check(*messages, end, bfloat16=True):
        monkeypatch.setattr(checks, "_worker", FakeWorker(messages, end))
        return checks.check_recipe(ORDER, "torch", bfloat16=bfloat16)

    return check


def test_pipeline_that_is_fast_enough(check_recipe, cores):
    cores()
    step = {"step_seconds": 0.08, "step_images_per_second": 100.0}
    facts, found = check_recipe({"precision": "float32"}, LOADER, end=step)
    assert found == []
    assert facts == {"recipe": "x.toml", "precision": "float32", **LOADER, **step}
    assert check_recipe(LOADER, end={})[1] == []  # not timed


@pytest.mark.parametrize(
    ("workers", "advice"), [(2, "--set data.workers=4"), (4, "store the images as JPEG")]
)
def test_pipeline_that_training_waits_for(check_recipe, cores, workers, advice):
    cores()
    step = {"step_seconds": 0.04, "step_images_per_second": 180.0}
    _, (finding,) = check_recipe(LOADER | {"loader_workers": workers}, end=step)
    assert finding.name == "slow_pipeline" and finding.advice.startswith(advice)
    assert "200 images/s are read, and 180 are needed" in finding.message


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [(-9, "", OutOfMemoryError), (1, "ValueError: shapes", BackendError)],
)
def test_trial_that_fails(check_recipe, code, reason, error):
    facts, (finding,) = check_recipe(LOADER, end=WorkerError("target", code, reason, ()))
    assert finding.error is error and "--dry-run" in finding.advice
    assert (reason or "killed by SIGKILL") in finding.message
    assert facts["loader_workers"] == 2  # what was sent before stays


def test_trial_that_takes_too_long_is_a_note(check_recipe):
    _, (finding,) = check_recipe(LOADER, end=TimeoutError())
    assert (finding.name, finding.level) == ("step_not_timed", "note")


@pytest.mark.parametrize("error", [RecipeError, DataError, WeightsError])
def test_errors_of_a_recipe_keep_their_class_their_list_and_their_hint(check_recipe, error):
    _, (finding,) = check_recipe(end=error("all is wrong", errors=["a", "b"], hint="Mind it."))
    assert (finding.error, finding.message, list(finding.lines)) == (error, "all is wrong", ["a", "b"])
    lines = ["usrn data check x.toml  (reads every file)"] * (error is DataError)
    assert finding.advice.splitlines() == [*lines, "Mind it."]


def test_features_that_do_not_fit(check_recipe):
    facts, (finding,) = check_recipe({"features_space": ["no space", "free some"]}, end={})
    assert (finding.name, finding.message, finding.advice) == ("features_space", "no space", "free some")
    assert not finding.error and "features_space" not in facts


@pytest.mark.parametrize(
    ("precision", "bfloat16", "found"),
    [("float32", False, []), ("mixed_bfloat16", True, []), ("mixed_bfloat16", False, ["precision"])],
)
def test_precision_that_the_device_lacks(check_recipe, precision, bfloat16, found):
    assert names(check_recipe({"precision": precision}, end={}, bfloat16=bfloat16)) == found


def test_devices_that_compute_bfloat16(monkeypatch):
    pascal = NvidiaGpu("GTX 1080", None, None, 6.1, "580.65.06")
    assert checks.has_bfloat16([GPU, CPU], [H200]) and not checks.has_bfloat16([GPU, CPU], [pascal])
    assert checks.has_bfloat16(["TPU"], [])
    for known in (True, False):
        monkeypatch.setattr(machine, "processor_has_bfloat16", lambda known=known: known)
        assert checks.has_bfloat16([CPU], [H200]) is known
