"""The rules of thumb of `usrn init` against measured memory and counted operations."""

from __future__ import annotations

import csv

import pytest

from tests.tools import ROOT
from usrn_keras.networks import build_branches
from usrn_keras.networks.operations import forward_flops
from usrn_keras.project.proposal import MOBILENET, RESNET50, step_bytes

# As `usrn init` writes them.
FOR_A_CPU = {
    "backbone_end": "conv_pw_12_relu",
    "aspp_channels": 64,
    "low_level_channels": 24,
    "decoder_channels": 64,
}
NETWORKS = [
    pytest.param(MOBILENET, FOR_A_CPU, id="mobilenet"),
    pytest.param(RESNET50, {}, id="resnet50", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("network", "options"), NETWORKS)
def test_operations_are_those_of_the_network(network, options):
    branch, _ = build_branches(network.name, classes=21, weights="none", **options)
    counted = forward_flops(branch.segmenter(), 192, 192) / 192**2
    assert counted == pytest.approx(network.flops, rel=0.02)


@pytest.mark.parametrize(("network", "backbone"), [(MOBILENET, "mobilenet"), (RESNET50, "resnet50")])
def test_memory_is_above_every_step_that_was_measured_and_near_the_largest(network, backbone):
    with open(ROOT / "benchmarks/results/archive/memory.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["backbone"].endswith(backbone)]
    rows = [row for row in rows if row["method"] == "USRN"]
    assert {row["backend"] for row in rows} == {"torch", "jax", "tensorflow"}
    measured = {}
    for row in rows:
        sizes = int(row["batch"]), int(row["crop"])
        measured[sizes] = max(measured.get(sizes, 0), 1e6 * float(row["measured_mb"]))
    for sizes, peak in measured.items():
        expected = step_bytes(network, *sizes)
        assert 0.99 * peak <= expected
    of_all_backends = (4, 192)
    assert step_bytes(network, *of_all_backends) == pytest.approx(measured[of_all_backends], rel=0.15)
