"""Fifty steps of each method give the weights and losses that are stored."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from tests.methods.stored_runs import RUNS, load, machine, stored_machine, train

pytestmark = pytest.mark.every_backend

ELSEWHERE = 1e-4
"""What may differ on another machine: the three backends differ by 1e-5 from each other."""

TENSORFLOW = 5e-6
"""TensorFlow may order sums otherwise in another process: 1e-6 was seen on the same machine."""


@pytest.mark.usefixtures("optimized_programs")
@pytest.mark.parametrize("run", RUNS)
def test_a_run_ends_as_stored(run):
    """Bit-equal where the machine is the one that stored the values, else up to the order of sums."""
    found, stored = train(run), load(run)
    tolerance = ELSEWHERE
    if machine() == stored_machine():
        tolerance = TENSORFLOW if keras.backend.backend() == "tensorflow" else 0
    np.testing.assert_allclose(found.losses, stored.losses, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found.weights, stored.weights, rtol=0, atol=tolerance)


@pytest.mark.parametrize("run", RUNS)
def test_what_is_stored_takes_every_loss_part(run):
    """The runs learn, and their pseudo labels exist and are not for all pixels."""
    losses = load(run).losses
    assert losses[-5:, 0].mean() < losses[:5, 0].mean()
    if not run.startswith("supervised"):
        self_training, confident = losses[:, 2], losses[:, 5 if run.startswith("usrn") else 3]
        assert self_training.min() >= 0 and self_training.mean() > 0.01
        assert 0 < confident.mean() < 0.9
