"""Fifty steps of each method give the weights and losses that are stored."""

from __future__ import annotations

import numpy as np
import pytest

from tests.methods.stored_runs import RUNS, load, machine, stored_machine, train

pytestmark = pytest.mark.every_backend

ELSEWHERE = 1e-4
"""What may differ on another machine: the three backends differ by 1e-5 from each other."""


@pytest.mark.parametrize("run", RUNS)
def test_a_run_ends_as_stored(run):
    """Bit-equal where the machine is the one that stored the values, else up to the order of sums."""
    found, stored = train(run), load(run)
    if machine() == stored_machine():
        np.testing.assert_array_equal(found.losses, stored.losses)
        np.testing.assert_array_equal(found.weights, stored.weights)
    else:
        np.testing.assert_allclose(found.losses, stored.losses, rtol=0, atol=ELSEWHERE)
        np.testing.assert_allclose(found.weights, stored.weights, rtol=0, atol=ELSEWHERE)


@pytest.mark.parametrize("run", RUNS)
def test_what_is_stored_takes_every_loss_part(run):
    """The runs learn, and their pseudo labels exist and are not for all pixels."""
    losses = load(run).losses
    assert losses[-5:, 0].mean() < losses[:5, 0].mean()
    if not run.startswith("supervised"):
        self_training, confident = losses[:, 2], losses[:, 5 if run.startswith("usrn") else 3]
        assert self_training.min() >= 0 and self_training.mean() > 0.01
        assert 0 < confident.mean() < 0.9
