"""Training over two processes on PyTorch gives what one process gives."""

from __future__ import annotations

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


def test_a_process_whose_weights_differ_is_found(both):
    for rank in (0, 1):
        text = (both / f"{rank}.txt").read_text()
        assert text.startswith("step 7: 1 variables differ between the processes")
        assert "process 1" in text
