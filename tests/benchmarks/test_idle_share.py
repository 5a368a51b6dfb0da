"""The benchmark of the wait for batches: what it makes, what it counts."""

from __future__ import annotations

import numpy as np

from benchmarks import idle_share
from benchmarks.fed_step import FedStep, made_subclasses, stripes
from usrn_keras.data import load_dataset, read_mask, read_sublabels
from usrn_keras.recipe import load_recipe


def test_shares_and_slowdown_by_round():
    rounds = [
        {"wait": [1.0, 0.0], "work": [1.0, 2.0], "held": [1.0, 1.0]},
        {"wait": [0.0, 0.0], "work": [3.0, 3.0], "held": [2.0, 2.0]},
    ]
    found = idle_share.waiting(rounds)
    assert (found["idle_share_min"], found["idle_share_max"]) == (0.0, 0.25)
    assert (found["slowdown_min"], found["slowdown_max"]) == (1.5, 2.0)
    assert found["step_seconds_median"] == 2.5 and found["wait_seconds_max"] == 1.0


def test_made_sublabels_are_of_their_class(recipe_file, tmp_path):
    dataset = load_dataset(load_recipe(str(recipe_file)).data)
    subclasses, samples = made_subclasses(dataset, 1.0, tmp_path)
    assert subclasses.counts.min() == 1 and subclasses.total > 2
    for sample in samples:
        mask, sublabels = read_mask(sample.mask, dataset), read_sublabels(sample.sublabels)
        np.testing.assert_array_equal(np.append(subclasses.parents, 255)[sublabels], mask)
    ignored = stripes(np.array([[0, 255]]), subclasses)
    assert ignored.tolist() == [[0, -1]]


def test_a_round_waits_and_works(recipe_file, tmp_path):
    fed = FedStep({"device": "cpu", "recipe": str(recipe_file), "set": [], "folder": str(tmp_path)})
    taken = fed.round(2)
    assert {name: len(seconds) for name, seconds in taken.items()} == {"wait": 2, "work": 2, "held": 2}
    assert min(taken["work"]) > 0 and fed.facts["batch"] == "2 + 2" and fed.facts["device"] == "cpu"
