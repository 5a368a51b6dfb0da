"""Training over two processes on PyTorch gives what one process gives."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from tests.backends.uneven import STEPS, built, uneven_batch, weights
from tests.tools import ROOT
from usrn_keras.backends import CompiledStep
from usrn_keras.ranks import run_processes

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="processes are of PyTorch")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Folder with what each of two processes found."""
    folder = tmp_path_factory.mktemp("two")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", str(ROOT), prepend=":")
        assert run_processes([sys.executable, "-m", "tests.backends.two_processes", str(folder)], 2) == 0
    return folder


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_two_processes_give_the_result_of_one(both, optimizer):
    """Losses are means over the valid pixels of all images, statistics those of the whole batch."""
    model = built(optimizer)
    step = CompiledStep(model)
    losses = [float(step(uneven_batch(number))["loss"]) for number in range(STEPS)]
    first, second = (np.load(both / f"{rank}.npz") for rank in (0, 1))
    np.testing.assert_allclose(first[f"{optimizer} losses"], losses, rtol=1e-6)
    ours, theirs = first[f"{optimizer} weights"], weights(model)
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 1e-6
    np.testing.assert_array_equal(ours, second[f"{optimizer} weights"])


def test_statistics_of_each_process_alone(both):
    """Weights and moving statistics stay equal, but are not those of the whole batch."""
    first, second = (np.load(both / f"{rank}.npz") for rank in (0, 1))
    np.testing.assert_array_equal(first["local weights"], second["local weights"])
    ours, whole = first["local weights"], first["sgd weights"]
    assert 1e-4 < np.linalg.norm(ours - whole) / np.linalg.norm(whole) < 0.5


def slurm(rank: int) -> dict[str, str]:
    """What srun sets for one of two processes of a machine."""
    step = {"SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": str(os.getpid())}
    return step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_NTASKS": "2"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "slurm"])
def test_launchers_of_others(launcher, both, tmp_path):
    """Processes that torchrun starts, or that have the variables of srun, do the same."""
    module = ["-m", "tests.backends.two_processes", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
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
        found, known = np.load(tmp_path / f"{rank}.npz"), np.load(both / f"{rank}.npz")
        np.testing.assert_array_equal(found["sgd weights"], known["sgd weights"])


def test_a_process_whose_weights_differ_is_found(both):
    for rank in (0, 1):
        text = (both / f"{rank}.txt").read_text()
        assert text.startswith("step 7: 1 variables differ between the processes")
        assert "process 1" in text
