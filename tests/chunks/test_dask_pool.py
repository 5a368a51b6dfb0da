"""Worker processes of Dask: one that is killed, one whose images are damaged, none at all."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.chunks import dask_pool, open_pool
from usrn_keras.chunks.chunk_worker import Order
from usrn_keras.errors import DataError, RunError, SchedulerError

# A warning that becomes an error in the event loop of Dask would stop it.
pytestmark = pytest.mark.filterwarnings("default")
FUNCTIONS = "tests.chunks.worker_functions"


@pytest.fixture(scope="module")  # starting two processes takes 3 s of CPU time each
def pool():
    with open_pool(workers=2) as found:
        yield found


def orders(function, count, **common):
    return [(number, Order(f"{FUNCTIONS}:{function}", common, [number], "torch")) for number in range(count)]


@pytest.fixture(autouse=True)
def without_a_backend(monkeypatch):
    monkeypatch.setattr("usrn_keras.chunks.chunk_worker._prepare", lambda order: None)


@pytest.mark.slow
def test_the_chunk_of_a_killed_worker_is_computed_again(pool, tmp_path):
    found = dict(pool.compute(orders("die_once", 12, factor=2, folder=str(tmp_path))))
    assert {number: json.loads(answer) for number, answer in found.items()} == {n: [2 * n] for n in range(12)}
    calls = (tmp_path / "calls").read_text().split()
    assert calls.count("5") == 2


@pytest.mark.slow
def test_errors_of_the_function_keep_their_class_list_and_hint(pool):
    with pytest.raises(DataError) as caught:
        list(pool.compute(orders("refuse", 3)))
    assert caught.value.errors == ("a.png", "b.png") and caught.value.hint == "Replace them."


def test_what_dask_raises_is_reported():
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    def reported(error: Exception) -> SchedulerError:
        def result():
            raise error

        with pytest.raises(SchedulerError) as caught:
            dask_pool.DaskPool(lambda: None)._answer(SimpleNamespace(result=result), 4)
        return caught.value

    killed = reported(KilledWorker("compute", SimpleNamespace(address="tcp://h1:1"), 3))
    assert (
        killed.message == "chunk 4 ended 4 workers, one after the other" and "evaluation.batch" in killed.hint
    )
    assert "the connection to the Dask scheduler is lost" in reported(FutureCancelledError("a", "b")).message


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "no address"])
def test_a_scheduler_that_is_not_there(address, monkeypatch, tmp_path):
    monkeypatch.setattr(dask_pool, "CONNECT_SECONDS", 0.5)
    (tmp_path / "photo.png").touch()
    result = CliRunner().invoke(
        main, ["predict", "run", str(tmp_path), "--out", str(tmp_path / "out"), "--scheduler", address]
    )
    assert result.exit_code == SchedulerError.exit_code == 15, result.stderr
    assert f"no Dask scheduler answers at '{address}'" in result.stderr
    assert "--workers N" in result.stderr and result.stdout == ""


def test_workers_start_after_the_checks(monkeypatch, tmp_path):
    """Whatever is wrong with the command is reported before a process is started."""
    started = []
    monkeypatch.setattr(dask_pool, "_local_cluster", lambda *arguments: started.append(arguments))
    (tmp_path / "photo.png").touch()
    out = ["--out", str(tmp_path / "out"), "--workers", "2"]
    result = CliRunner().invoke(main, ["predict", str(tmp_path / "run"), str(tmp_path / "photo.png"), *out])
    assert result.exit_code == RunError.exit_code, result.stderr
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / "run"), "--workers", "2"])
    assert result.exit_code == RunError.exit_code, result.stderr
    assert not started


def test_each_worker_gets_its_cores_and_its_gpu(monkeypatch):
    monkeypatch.setattr(dask_pool, "usable_cores", lambda: 16)
    monkeypatch.setattr(dask_pool, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(dask_pool, "gpus_by_identifier", lambda: {"0": None, "GPU-7": None})
    monkeypatch.delenv("OMP_NUM_THREADS")
    found = dask_pool.worker_variables(4)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["0", "GPU-7", "0", "GPU-7"]
    assert {one["OMP_NUM_THREADS"] for one in found} == {"4"}
