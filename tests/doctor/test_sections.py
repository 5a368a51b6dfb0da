from __future__ import annotations

import shutil
from collections import namedtuple

import psutil
import pytest

from usrn_keras import machine
from usrn_keras.doctor import sections
from usrn_keras.doctor.findings import Diagnosis, Finding, Section
from usrn_keras.errors import BackendError, DataError, OutOfMemoryError, RecipeError, StorageError
from usrn_keras.machine import NvidiaGpu

GIB = 2**30
CPU, GPU = ({"kind": kind, "name": kind.upper(), "memory": None} for kind in ("cpu", "gpu"))
H200 = NvidiaGpu("NVIDIA H200", 140 * GIB, 139 * GIB, 9.0, "580.65.06")
Usage = namedtuple("Usage", "total used free")


def names(section):
    return [finding.name for finding in section.findings]


@pytest.fixture
def installed(monkeypatch):
    """Lets packages be installed in other versions, where keras, numpy and jax have bounds."""
    monkeypatch.setattr(sections, "_requirements", lambda: ["keras>=3.15,<4", "numpy>=2.4", "jax>=0.10"])
    versions = {"keras": "3.15.1", "numpy": "2.4.6", "jax": "0.10.2"}

    def install(**changes):
        monkeypatch.setattr(sections, "version", (versions | changes).get)

    install()
    return install


def test_tested_versions(installed):
    found = sections.versions_section({})
    assert found.findings == []
    assert found.lines[1].endswith("keras-cv (not installed)")
    installed(keras="3.16.0.dev1", numpy="2.4.6+local")
    assert sections.versions_section({}).findings == []


def test_versions_out_of_bounds_are_one_finding_with_one_command(installed):
    installed(keras="4.0", numpy="2.3.9", jax="0.11")
    (finding,) = sections.versions_section({}).findings
    assert finding.name == "packages_untested" and not finding.error
    assert finding.lines == ["keras 4.0, needs <4,>=3.15", "numpy 2.3.9, needs >=2.4"]
    assert finding.advice == "pip install 'keras<4,>=3.15' 'numpy>=2.4'"


def test_missing_packages_break_training_except_backends(installed):
    installed(numpy=None, jax=None)
    (finding,) = sections.versions_section({}).findings
    assert finding.error is BackendError and finding.message.endswith("not installed: numpy")


def test_packages_that_cannot_be_loaded_break_training(installed):
    broken = {"numpy": "ImportError: wrong ABI", "cv2": "ModuleNotFoundError: no cv2"}
    (finding,) = sections.versions_section(broken).findings  # OpenCV is not installed here at all
    assert finding.error is BackendError
    assert finding.message == "numpy 2.4.6 cannot be loaded: ImportError: wrong ABI"
    assert finding.advice == "pip install --force-reinstall numpy"


def test_this_installation(monkeypatch):
    assert sections.versions_section({}).findings == []
    monkeypatch.setattr(sections, "DISTRIBUTION", "no-such-package-of-ours")
    assert sections.versions_section({}).findings == []  # a checkout that is not installed


def probe(*devices, error="", loads=True, installed=True):
    facts = {"installed": installed, "version": "1.2", "loads": loads, "error": error}
    return facts | {"seconds": 0.9, "devices": list(devices)}


ABSENT = probe(installed=False, loads=False)
BROKEN = probe(error="ImportError: jaxlib is missing", loads=False)


def backends(chosen, **probes):
    return sections.backend_section(chosen, "KERAS_BACKEND", probes)


def test_backend_that_works():
    found = backends("jax", tensorflow=ABSENT, jax=probe(GPU | {"memory": 128 * GIB}, CPU))
    assert found.values["works"] and found.findings == []
    assert found.lines == [
        "jax (KERAS_BACKEND); KERAS_BACKEND=NAME usrn ... takes another",
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
            ["pip install --force-reinstall jax jaxlib", "or for now: export KERAS_BACKEND=torch"],
        ),
        (
            "jax",
            {"jax": probe(CPU, error="no kernel image is available")},
            "does not compute: no kernel image is available",
            ["pip install --force-reinstall jax jaxlib"],  # there is no other
        ),
        (
            "tensorflow",
            {"tensorflow": ABSENT, "jax": probe(CPU)},
            "is not installed",
            ["pip install tensorflow", "or for now: export KERAS_BACKEND=jax"],
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
    assert "Keras loads it beside any backend" in first.message
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
    found = sections.gpu_section("jax", probe(CPU), [])
    assert found.findings == [] and found.lines == ["no NVIDIA GPU", "jax trains on CPU"]


def test_gpu_that_trains(gpus):
    gpus(H200)
    found = sections.gpu_section("torch", probe(GPU, CPU), [])
    assert found.findings == [] and found.values["used"]
    assert found.lines == [
        "NVIDIA H200, 140.0 GiB, 139.0 GiB free, compute capability 9.0, driver 580.65.06",
        "torch trains on GPU",
    ]


def test_gpu_that_the_backend_does_not_see(gpus):
    gpus(H200)
    (finding,) = sections.gpu_section("jax", probe(CPU), ["first", "CUDA is old"]).findings
    assert finding.name == "gpu_unused" and finding.advice == "pip install 'jax[cuda13]'"
    assert "(NVIDIA H200), and jax does not see it" in finding.message and finding.lines == ["CUDA is old"]
    for broken in (None, BROKEN):  # which the section of backends reports
        assert sections.gpu_section("jax", broken, []).findings == []


@pytest.mark.parametrize(
    ("driver", "capability", "old"),
    [("580.65.06", 9.0, False), ("550.54.14", 9.0, True), ("580.65.06", 6.1, True), ("unknown", None, False)],
)
def test_old_drivers_and_gpus_need_cuda_12(driver, capability, old):
    gpu = NvidiaGpu("GPU", None, None, capability, driver)
    assert sections.install_for_gpu("jax", gpu) == f"pip install 'jax[cuda{12 if old else 13}]'"
    assert ("CUDA 12" in sections.install_for_gpu("torch", gpu)) == old


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpu_that_is_hidden(gpus, monkeypatch, value):
    gpus(H200)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    (finding,) = sections.gpu_section("jax", probe(CPU), []).findings
    assert (finding.name, finding.advice) == ("gpu_hidden", "unset CUDA_VISIBLE_DEVICES")


def test_gpu_without_a_driver(gpus):
    gpus(problem="nvidia-smi: it failed")
    found = sections.gpu_section("jax", probe(CPU), [])
    assert names(found) == ["gpu_driver"] and "nvidia-smi: it failed" in found.findings[0].message
    assert "without a driver that answers" in found.lines[0]


def test_gpu_that_others_use(gpus):
    gpus(NvidiaGpu("NVIDIA H200", 140 * GIB, 40 * GIB, 9.0, "580.65.06"))
    (finding,) = sections.gpu_section("jax", probe(GPU), []).findings
    assert (finding.name, finding.level) == ("gpu_taken", "note")
    assert "100.0 GiB of the 140.0 GiB" in finding.message
    gpus(NvidiaGpu("old", None, None, None, "390"))
    assert sections.gpu_section("jax", probe(GPU), []).findings == []


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
    found = sections.precision_section({"float32": 1e11, "mixed_bfloat16": gain * 1e11}, device, asked)
    assert found.values["recommended"] == recommended
    advice = [f"--set training.precision={recommended}"] * is_change
    assert [finding.advice for finding in found.findings] == advice
    assert ("tells little of a whole step" in found.lines[1]) == (device is CPU)


@pytest.fixture
def cores(monkeypatch):
    """Lets the machine have cores and memory, and variables of threads be set."""

    def have(usable=4, allowed=4, free=8 * GIB, **variables):
        monkeypatch.setattr(machine, "usable_cores", lambda: usable)
        monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0] * allowed, raising=False)
        monkeypatch.setattr(machine, "available_memory", lambda: free)
        for name in sections.THREADS.values():
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
    found = sections.machine_section(0.1, backend, on_gpu)
    assert [finding.advice for finding in found.findings] == advice
    assert found.values["threads"] == variables


@pytest.mark.parametrize(
    ("backend", "advice"),
    [("torch", "export OMP_NUM_THREADS=2"), ("jax", "taskset -c 0-1 usrn fit ...")],
)
def test_quota_that_backends_do_not_see(cores, backend, advice):
    cores(usable=2, allowed=16)
    (finding,) = sections.machine_section(0.1, backend, False).findings
    assert (finding.name, finding.advice) == ("many_threads", advice)


def test_little_memory(cores):
    cores(free=GIB)
    found = sections.machine_section(0.1, "torch", False)
    assert names(found) == ["little_memory"] and "only 1.0 GiB" in found.findings[0].message
    assert found.lines[1].startswith("memory: 1.0 GiB free of ")


LOADER = {"images_per_second": 200.0, "workers": 2, "batch": [8, 8]}


def test_pipeline_that_is_fast_enough(cores):
    cores()
    found = sections.pipeline_section("x", LOADER, {"images_per_second": 100.0, "seconds": 0.08})
    assert found.findings == []
    assert found.lines == [
        "200 images/s with 2 workers (x): feeds a step of 8 + 8 images every 0.08 s",
        "a training step of the Baseline takes 0.08 s: 100 images/s",
    ]
    assert sections.pipeline_section("x", LOADER, None).findings == []


@pytest.mark.parametrize(("workers", "advice"), [(2, "--set data.workers=4"), (4, "keep image files")])
def test_pipeline_that_training_waits_for(cores, workers, advice):
    cores()
    step = {"images_per_second": 180.0, "seconds": 0.04}
    (finding,) = sections.pipeline_section("x", LOADER | {"workers": workers}, step).findings
    assert finding.name == "slow_pipeline" and finding.advice.startswith(advice)
    assert "200 images/s are read, training takes 180" in finding.message


def test_pipeline_that_does_not_run():
    found = sections.pipeline_section("x", {}, None, [Finding("data", "empty", error=DataError)])
    assert found.lines == ["does not run"] and names(found) == ["data"]


@pytest.mark.parametrize(
    ("reason", "error"), [("killed by SIGKILL", OutOfMemoryError), ("ValueError: shapes", BackendError)]
)
def test_step_that_fails(reason, error):
    finding = sections.step_failure(reason)
    assert finding.error is error and reason in finding.message and "--dry-run" in finding.advice


def test_disk_that_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "WRITTEN", sections.CHUNK)
    found = sections.disk_section(tmp_path / "a/b")
    assert found.findings == [] or names(found) == ["slow_disk"]
    assert found.lines[0].startswith(f"runs: {tmp_path}/a/b, ") and found.values["runs"]["rate"] > 0
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_slow_or_nearly_full(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, 10**9))
    monkeypatch.setattr(sections, "_write_rate", lambda file, most: 1e6)
    found = sections.disk_section(tmp_path)
    assert names(found) == ["little_space", "slow_disk"]
    assert "only 1.0 GB are free" in found.findings[0].message


def test_disk_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sections.tempfile, "TemporaryFile", refuse)
    found = sections.disk_section(tmp_path)
    assert found.findings[0].error is StorageError and "CANNOT BE WRITTEN" in found.lines[0]


@pytest.fixture
def look(recipe_file, tmp_path):
    """Looks at the recipe with changes."""
    return lambda *overrides: sections.recipe_section(str(recipe_file), overrides, tmp_path / "run")


def test_recipe_that_is_sound(look, recipe_file):
    recipe, found = look()
    assert recipe.data.workers == 1 and found.findings == []
    assert found.lines == [
        f"{recipe_file}: 3 labelled, 2 unlabelled, 1 val, 0 test images",
        "features of the labelled images: at most 5.8 kB",  # 3 x 10 x 12 feature pixels x 8 x 2 bytes
    ]
    assert found.values["images"] == {"labelled": 3, "unlabelled": 2, "val": 1, "test": 0}


def test_every_error_of_a_recipe():
    recipe, found = sections.recipe_section("quickstart", ("training.x=1", "views.crop_size=33"), None)
    (finding,) = found.findings
    assert recipe is None and finding.error is RecipeError and len(finding.lines) == 2
    assert found.lines == ["quickstart cannot be read"] and found.values["readable"] is False


def test_every_error_of_a_data_set(look, recipe_file):
    root = recipe_file.parent / "data"
    (root / "val.txt").write_text("5\nmissing\n")
    (root / "classes.txt").write_text("")
    (finding,) = look()[1].findings
    assert finding.error is DataError and len(finding.lines) >= 2
    assert finding.advice.startswith(f"usrn data check {recipe_file}")


def test_no_data_set_at_all(look):
    (finding,) = look("data.root=/nowhere/at/all")[1].findings
    assert finding.error is DataError and "/nowhere/at/all` is no folder" in finding.lines[0]


def test_features_that_do_not_fit(look, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6, 1000))
    (finding,) = look()[1].findings
    assert finding.name == "features_space" and not finding.error
    assert "subclasses.rows_per_image" in finding.advice


CHANGED = Finding("slow", "it is slow", "make it faster\nor not", ["one", "two"])
NOTED = Finding("note", "it is so", level="note")
BAD = Finding("backend", "it is broken", "fix it", error=BackendError)
ALSO = Finding("data", "no images", error=DataError)


def diagnosis(*findings):
    section = Section("part", ["a fact"], {"value": 1}, findings)
    return Diagnosis({"part": section}, ["usrn fit x"], "usrn doctor", 1.234)


def test_findings_are_sorted_and_the_first_error_is_that_of_training():
    found = diagnosis(NOTED, CHANGED, BAD, ALSO)
    assert found.findings == [BAD, ALSO, CHANGED, NOTED]
    assert isinstance(found.error, BackendError) and found.following == ["usrn doctor"]
    assert str(found.error).startswith("training cannot run here: it is broken\n  - no images\n")
    assert diagnosis(CHANGED, NOTED).error is None
    assert diagnosis(CHANGED).following == ["usrn fit x"]


def test_json_of_a_diagnosis():
    values = diagnosis(CHANGED, BAD).to_json()
    assert values["part"] == {"value": 1}
    assert values["findings"][0] == {
        "name": "backend",
        "level": "broken",
        "message": "it is broken",
        "advice": "fix it",
        "lines": [],
    }
    assert [finding["level"] for finding in values["findings"]] == ["broken", "change"]
    assert (values["trains"], values["exit_code"], values["seconds"]) == (False, 7, 1.23)
