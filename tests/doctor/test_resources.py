from __future__ import annotations

import shutil
from collections import namedtuple

import psutil
import pytest

from usrn_keras import machine
from usrn_keras.doctor import resources
from usrn_keras.doctor.doctor_report import DoctorFinding
from usrn_keras.errors import BackendError, DataError, OutOfMemoryError, RecipeError, StorageError

GIB = 2**30
Usage = namedtuple("Usage", "total used free")


def names(section):
    return [finding.name for finding in section.findings]


@pytest.fixture
def cores(monkeypatch):
    """Lets the machine have cores and memory, and variables of threads be set."""

    def have(usable=4, allowed=4, free=8 * GIB, **variables):
        monkeypatch.setattr(machine, "usable_cores", lambda: usable)
        monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0] * allowed, raising=False)
        monkeypatch.setattr(machine, "available_memory", lambda: free)
        for name in resources.THREADS.values():
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
    found = resources.machine_section(0.1, backend, on_gpu)
    assert [finding.advice for finding in found.findings] == advice
    assert found.values["threads"] == variables


@pytest.mark.parametrize(
    ("backend", "advice"),
    [("torch", "export OMP_NUM_THREADS=2"), ("jax", "taskset -c 0-1 usrn fit ...")],
)
def test_quota_that_backends_do_not_see(cores, backend, advice):
    cores(usable=2, allowed=16)
    (finding,) = resources.machine_section(0.1, backend, False).findings
    assert (finding.name, finding.advice) == ("many_threads", advice)


def test_little_memory(cores):
    cores(free=GIB)
    found = resources.machine_section(0.1, "torch", False)
    assert names(found) == ["little_memory"] and "only 1.0 GiB" in found.findings[0].message
    assert found.lines[1].startswith("memory: 1.0 GiB free of ")


LOADER = {"images_per_second": 200.0, "workers": 2, "batch": [8, 8]}


def test_pipeline_that_is_fast_enough(cores):
    cores()
    found = resources.pipeline_section("x", LOADER, {"images_per_second": 100.0, "seconds": 0.08})
    assert found.findings == []
    assert found.lines == [
        "200 images/s with 2 workers (x): feeds a step of 8 + 8 images every 0.08 s",
        "a training step of the Baseline takes 0.08 s: 100 images/s",
    ]
    assert resources.pipeline_section("x", LOADER, None).findings == []


@pytest.mark.parametrize(
    ("workers", "advice"), [(2, "--set data.workers=4"), (4, "store the images as JPEG")]
)
def test_pipeline_that_training_waits_for(cores, workers, advice):
    cores()
    step = {"images_per_second": 180.0, "seconds": 0.04}
    (finding,) = resources.pipeline_section("x", LOADER | {"workers": workers}, step).findings
    assert finding.name == "slow_pipeline" and finding.advice.startswith(advice)
    assert "reads 200 images/s, but training needs 180" in finding.message


def test_pipeline_that_does_not_run():
    found = resources.pipeline_section("x", {}, None, [DoctorFinding("data", "empty", error=DataError)])
    assert found.lines == ["failed"] and names(found) == ["data"]


@pytest.mark.parametrize(
    ("reason", "error"), [("killed by SIGKILL", OutOfMemoryError), ("ValueError: shapes", BackendError)]
)
def test_step_that_fails(reason, error):
    finding = resources.step_failure(reason)
    assert finding.error is error and reason in finding.message and "--dry-run" in finding.advice


def test_disk_that_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "WRITTEN", resources.CHUNK)
    found = resources.disk_section(tmp_path / "a/b")
    assert found.findings == [] or names(found) == ["slow_disk"]
    assert found.lines[0].startswith(f"runs: {tmp_path}/a/b, ") and found.values["runs"]["rate"] > 0
    assert list(tmp_path.iterdir()) == []


def test_disk_that_is_slow_or_nearly_full(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, 10**9))
    monkeypatch.setattr(resources, "_write_rate", lambda file, most: 1e6)
    found = resources.disk_section(tmp_path)
    assert names(found) == ["little_space", "slow_disk"]
    assert "only 1.0 GB of disk space is free" in found.findings[0].message


def test_disk_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(**options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(resources.tempfile, "TemporaryFile", refuse)
    found = resources.disk_section(tmp_path)
    assert found.findings[0].error is StorageError and "CANNOT BE WRITTEN" in found.lines[0]


@pytest.fixture
def look(recipe_file, tmp_path):
    """Looks at the recipe with changes."""
    return lambda *overrides: resources.recipe_section(str(recipe_file), overrides, tmp_path / "run")


def test_recipe_that_is_sound(look, recipe_file):
    recipe, found = look()
    assert recipe.data.workers == 1 and found.findings == []
    assert found.lines == [
        f"{recipe_file}: 3 labelled, 2 unlabelled, 1 val, 0 test images",
        "features of the labelled images: at most 5.8 kB",  # 3 x 10 x 12 feature pixels x 8 x 2 bytes
    ]
    assert found.values["images"] == {"labelled": 3, "unlabelled": 2, "val": 1, "test": 0}


def test_every_error_of_a_recipe():
    recipe, found = resources.recipe_section("quickstart", ("training.x=1", "views.crop_size=33"), None)
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
    assert finding.error is DataError and "/nowhere/at/all` is not a folder" in finding.lines[0]


def test_features_that_do_not_fit(look, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**6, 10**6, 1000))
    (finding,) = look()[1].findings
    assert finding.name == "features_space" and not finding.error
    assert "subclasses.rows_per_image" in finding.advice
