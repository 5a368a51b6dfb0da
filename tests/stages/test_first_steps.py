"""One recipe and one seed are one experiment on three backends: equal weights, dropout, crops and jitter."""

from __future__ import annotations

import json

import pytest

from usrn_keras.recipe import load_recipe
from usrn_keras.stages import fit

pytestmark = pytest.mark.every_backend

LOSSES = [0.77677, 0.755191]  # of the first steps, equal on PyTorch, JAX and TensorFlow to all six digits


def test_first_losses_are_those_of_every_backend(recipe_file, tmp_path):
    overrides = ["training.method=supervised", "training.baseline_steps=2"]
    fit(load_recipe(str(recipe_file), overrides), tmp_path / "run")
    records = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [json.loads(record)["loss"] for record in records] == pytest.approx(LOSSES, abs=1e-5)
