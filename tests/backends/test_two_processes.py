"""Training over two processes gives what one process gives, on PyTorch and on JAX."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.backends.uneven import KINDS
from tests.tools import ROOT
from usrn_keras.ranks import run_processes

# They are started in any case, so once is enough.
pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="runs where PyTorch is tested")


def require(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")


@pytest.fixture(scope="module", params=["torch", pytest.param("jax", marks=pytest.mark.slow)])
def both(request, tmp_path_factory):
    """What each of two processes found."""
    require(request.param)
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT), prepend=":")
        patched.setenv("KERAS_BACKEND", request.param)
        patched.setenv("JAX_PLATFORMS", "cpu")
        assert run_processes([sys.executable, "-m", "tests.backends.two_processes", str(folder)], 2) == 0
    return [np.load(folder / f"{rank}.npz") for rank in (0, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_give_the_result_of_one(both, kind):
    """Losses are means over the valid pixels of all images, statistics those of the whole batch."""
    first, second = both
    np.testing.assert_allclose(first[f"{kind} losses"], first[f"{kind} alone losses"], rtol=1e-6)
    ours, alone = first[f"{kind} weights"], first[f"{kind} alone weights"]
    assert np.linalg.norm(ours - alone) / np.linalg.norm(alone) < 1e-6
    np.testing.assert_array_equal(ours, second[f"{kind} weights"])


def test_processes_agree(both):
    """Any process may ask to stop; the order of the first one arrives."""
    for one in both:
        assert one["agreed"].tolist() == [[True, False], [False, True]]
    assert both[1]["received"] == 4


def test_what_differs_is_named(both):
    for one in both:
        weights, facts = str(one["weights"]), str(one["facts"])
        assert weights.startswith("step 7: 1 variables differ between the processes")
        assert "process 1" in weights
        assert facts.splitlines()[:2] == [
            "the processes of this run have different recipes",
            "  - training.seed: 1 in process 1, 0 in process 0",
        ]


def test_statistics_of_each_process_alone(both):
    """Weights and moving statistics stay equal, but are not those of the whole batch."""
    first, second = both
    if "local weights" not in first:
        pytest.skip("PyTorch alone has them")
    np.testing.assert_array_equal(first["local weights"], second["local weights"])
    ours, whole = first["local weights"], first["sgd weights"]
    assert 1e-4 < np.linalg.norm(ours - whole) / np.linalg.norm(whole) < 0.5


def slurm(rank: int) -> dict[str, str]:
    """What srun sets for one of two processes of a machine."""
    step = {"SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": str(os.getpid())}
    return step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NTASKS": "2"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_launchers_of_others(launcher, backend, tmp_path):
    """Processes that torchrun starts, or that have the variables of srun, do the same."""
    require(backend)
    module = ["-m", "tests.backends.two_processes", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    environment |= {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    if launcher == "torchrun":
        commands = [["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *module]]
        variables = [{}]
    else:
        commands, variables = [module, module], [slurm(0), slurm(1)]
    started = [
        subprocess.Popen([sys.executable, *command], env=environment | more)
        for command, more in zip(commands, variables, strict=True)
    ]
    assert [process.wait(300) for process in started] == [0] * len(started)
    for rank in (0, 1):
        found = np.load(tmp_path / f"{rank}.npz")
        assert found["agreed"].tolist() == [[True, False], [False, True]]
    first = np.load(tmp_path / "0.npz")
    np.testing.assert_allclose(first["sgd losses"], first["sgd alone losses"], rtol=1e-6)
