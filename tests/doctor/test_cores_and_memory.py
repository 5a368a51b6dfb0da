from __future__ import annotations

import pytest

from usrn_keras.doctor.cores_and_memory import CoresSection, thread_variables
from usrn_keras.machine.cores import Cores

GIB = 2**30


def section(cores=None, free=8 * GIB, threads=None, backend="torch", on_gpu=False):
    cores = cores or Cores(4, 4, load=0.1)
    return CoresSection(cores, 16 * GIB, free, 1.5e11, threads or {}, backend, on_gpu)


def names(found):
    return [finding.name for finding in found.findings()]


def test_a_quiet_machine():
    found = section()
    assert names(found) == []
    assert found.lines() == [
        "4 of 4 cores usable; load 0.1 in the last minute",
        "memory: 8.0 GiB free of 16.0 GiB",
        "float32 matrix product: 150 GFLOP/s",
    ]


@pytest.mark.parametrize(
    ("backend", "on_gpu", "level"),
    [("torch", False, "change"), ("torch", True, "note"), ("jax", False, "note")],
)
def test_threads_that_are_held_back(backend, on_gpu, level):
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "4"}
    found = section(threads=threads, backend=backend, on_gpu=on_gpu)
    (finding,) = found.findings()
    assert (finding.name, finding.level) == ("few_threads", level)
    assert finding.message == "OMP_NUM_THREADS=1 holds torch and NumPy to 1 of 4 cores"
    assert finding.advice == "unset OMP_NUM_THREADS"
    assert "OMP_NUM_THREADS=1, NUMBA_NUM_THREADS=4" in found.lines()[0]


@pytest.mark.parametrize("value", ["4", "0", "", "many", "4,2"])
def test_values_that_hold_nothing_back(value):
    assert names(section(threads={"OMP_NUM_THREADS": value})) == []


def test_a_container_with_fewer_cores_than_threads():
    cores = Cores(64, 64, quota=2.0, load=0.1)
    (finding,) = section(cores).findings()
    assert finding.message == "64 threads would share 2 cores, and wait for each other"
    assert finding.advice == "export OMP_NUM_THREADS=2"
    assert names(section(cores, threads={"OMP_NUM_THREADS": "2"})) == []
    (finding,) = section(cores, threads={"OMP_NUM_THREADS": "2"}, backend="jax").findings()
    assert finding.advice == "taskset -c 0-1 usrn fit ..."  # JAX does not heed the variable
    assert "2 of 64 cores usable, 2 granted by the container" in section(cores).lines()[0]


def test_more_threads_than_cores():
    assert names(section(threads={"OMP_NUM_THREADS": "16"})) == ["many_threads"]


def test_cores_that_others_use():
    (finding,) = section(Cores(4, 4, load=3.2)).findings()
    assert finding.level == "note"
    assert "other processes wanted 3.2 cores in the last minute, of 4" in finding.message


def test_little_memory():
    assert names(section(free=GIB)) == ["little_memory"]
    assert names(section(free=None)) == []
    assert "an unknown amount free" in section(free=None).lines()[1]


def test_variables_of_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    found = thread_variables()
    assert found["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in found
