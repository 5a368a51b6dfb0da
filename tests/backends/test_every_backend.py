"""What must hold on TensorFlow, JAX and PyTorch alike: each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tests.tools import ROOT


def run(backend: str, *command: str, **environment: str) -> subprocess.CompletedProcess:
    variables = os.environ | {"KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)} | environment
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=900
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_steps_agree(tmp_path):
    """From equal weights and data: the same losses, gates and weights.

    The first losses agree to 1e-6, the order of float32 sums. Each update amplifies that about
    threefold, mostly in the batch normalisation of the pooled features, which sees one value per
    image: after five steps 3e-5 is seen in the losses and 2e-4 in the weights, and a little more
    is allowed. A rate at which pixels cross the threshold would show jumps of 1 / pixels instead.
    """
    found = {}
    for backend in ("torch", "jax", "tensorflow"):
        done = run(backend, "-m", "tests.backends.five_steps", str(tmp_path / f"{backend}.npz"))
        assert done.returncode == 0, done.stderr[-3000:]
        found[backend] = np.load(tmp_path / f"{backend}.npz")
    reference = found["torch"]
    confident = reference["losses"][:, list(reference["names"]).index("confident")]
    assert confident.max() > 0.05  # the unlabelled losses take part
    for backend in ("jax", "tensorflow"):
        np.testing.assert_allclose(found[backend]["losses"], reference["losses"], atol=1e-4, err_msg=backend)
        np.testing.assert_allclose(
            found[backend]["weights"], reference["weights"], atol=1e-3, err_msg=backend
        )


@pytest.mark.parametrize("backend", [pytest.param("jax", marks=pytest.mark.slow), "torch"])
def test_core_needs_neither_tensorflow_nor_keras_cv(backend):
    code = (
        "import sys, importlib.machinery as m\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return m.ModuleSpec(name, self) if name in ('tensorflow', 'keras_cv') else None\n"
        "    def create_module(self, spec): raise ImportError(spec.name)\n"
        "    def exec_module(self, module): pass\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from tests.tools import *\n"
        "from usrn_keras.backends import CompiledStep\n"
        "from usrn_keras.methods import Supervised\n"
        "from usrn_keras import SGD, stages, evaluation\n"
        "from usrn_keras.evaluation import predict\n"
        "model = Supervised(tiny_branches()[0])\n"
        "optimizer = SGD(0.1)\n"
        "optimizer.build(model.trainable_variables)\n"
        "model.compile(optimizer=optimizer)\n"
        "print(float(CompiledStep(model)(tiny_batch())['loss']))\n"
    )
    assert find_spec("tensorflow")  # here it is installed, so that absence must be made
    done = run(backend, "-c", code)
    assert done.returncode == 0, done.stderr[-3000:]
    assert float(done.stdout) > 0
