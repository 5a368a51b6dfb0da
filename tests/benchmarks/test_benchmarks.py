"""The clustering benchmark runs and measures what it says, on rows of next to no size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import clustering
from benchmarks.mixture import GROUPS, mixture

linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


def test_mixture_is_the_same_on_disk_and_in_memory(tmp_path):
    rows = mixture(300, 8, seed=1, dtype="float16")
    mapped = mixture(300, 8, seed=1, dtype="float16", path=tmp_path / "rows")
    np.testing.assert_array_equal(mapped, rows)
    assert (rows >= 0).all() and 0.2 < (rows == 0).mean() < 0.8
    assert not np.array_equal(mixture(300, 8, seed=2, dtype="float16"), rows)
    assert len(mixture(GROUPS, 4, seed=0)) == GROUPS


def test_inertia_is_that_of_the_means():
    rows, labels = mixture(500, 6, seed=0), np.arange(500) % 7
    means = np.stack([rows[labels == j].mean(axis=0) for j in range(7)])
    expected = ((rows - means[labels]) ** 2).sum()
    assert clustering.inertia_of(rows, labels, 7) == pytest.approx(expected, rel=1e-5)


@linux
@pytest.mark.parametrize("method", ["usrn_keras", "k_means_constrained"])
def test_a_fit_is_measured(method):
    rows = mixture(601, 6, seed=0)
    found = clustering.measured(getattr(clustering, method), rows, 7, seed=0)
    assert (found["smallest"], found["largest"]) == (85, 86)
    assert found["cpu_seconds"] > 0 and found["passes"] > 0 and float(found["inertia"]) > 0


def test_labels_are_held_against_the_optimum(monkeypatch):
    monkeypatch.setattr(clustering, "mixture", lambda rows, features, seed: mixture(200, 4, seed))
    assert -1e-6 <= clustering.oracle(seed=0)["excess"] < 1e-3
