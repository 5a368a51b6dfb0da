"""The rough figures of `usrn init` against those that are counted on the built network."""

from __future__ import annotations

import csv

import pytest

from benchmarks.memory import RESULTS
from usrn_keras.budget import step_flops
from usrn_keras.budget.calibration import CPU
from usrn_keras.budget.footprint import footprint
from usrn_keras.methods import USRN, Supervised
from usrn_keras.networks import build_branches
from usrn_keras.project.cost import BASELINE_PASSES, MOBILENET, RESNET50, USRN_PASSES, step_bytes

# As `usrn init` writes them.
FOR_A_CPU = {"backbone_end": "conv_pw_12_relu", "aspp_channels": 64, "low_level_channels": 24}
NETWORKS = [
    pytest.param(MOBILENET, 128 - 21, FOR_A_CPU | {"decoder_channels": 64}, id="mobilenet"),
    pytest.param(RESNET50, 177, {}, id="resnet50", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("network", "subclasses", "options"), NETWORKS)
def test_the_figures_are_those_of_the_network(network, subclasses, options):
    branches = build_branches(network.name, classes=21, subclasses=subclasses, weights="none", **options)
    model, size = USRN(*branches, [0] * subclasses), 192
    counted = footprint(model, size, size)
    assert counted.weights == pytest.approx(network.weights, rel=0.01)
    assert counted.calls == network.calls
    for name in ("kept", "work", "logits"):
        per_pixel = getattr(counted.labelled, name) / size**2
        assert per_pixel == pytest.approx(getattr(network, name), rel=0.02), name

    baseline = step_flops(Supervised(branches[0]), 1, 0, size, size)
    assert sum(baseline.values()) / size**2 == pytest.approx(BASELINE_PASSES * network.flops, rel=0.02)
    untrained = USRN(*branches, [0] * subclasses, terms=["ost", "usr"])
    usrn = step_flops(untrained, 1, 1, size, size)
    assert sum(usrn.values()) / size**2 == pytest.approx(USRN_PASSES * network.flops, rel=0.1)

    predicted = max(counted.memory(4, 4, numbers).peak for numbers in CPU.values())
    assert step_bytes(network, 4, size) == pytest.approx(predicted, rel=0.05)


def test_a_step_that_was_measured():
    """Of the hungriest backend, in benchmarks/results/memory.csv."""
    with open(RESULTS, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["backbone"] == "keras/resnet50"]
    alike = [row for row in rows if (row["method"], row["batch"], row["crop"]) == ("USRN", "2", "128")]
    measured = max(float(row["measured_mb"]) for row in alike)
    assert step_bytes(RESNET50, 2, 128) / 1e6 == pytest.approx(measured, rel=0.2)
