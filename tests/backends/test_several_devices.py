"""Training on several devices of one process gives what one device gives."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from tests.backends.uneven import KINDS
from tests.tools import ROOT
from usrn_keras.worker import Worker


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_two_devices_on_jax_give_the_result_of_one():
    """Losses are means over the valid pixels of the whole batch, statistics those of the whole batch."""
    variables = {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": str(ROOT),
    }
    with Worker("tests.backends.several_devices:compare", {}, variables) as worker:
        found = worker.result(300)
    assert found["devices"] == 2
    assert found["sent"] == ["all-reduce"]
    for kind in KINDS:
        (losses, weights), (other_losses, others) = (found[f"{kind} {number}"] for number in (1, 2))
        np.testing.assert_allclose(other_losses, losses, rtol=1e-6)
        difference = np.linalg.norm(np.subtract(others, weights)) / np.linalg.norm(weights)
        assert difference < 1e-6
