from __future__ import annotations

import numpy as np
import pytest

from usrn_keras.report.engine_table import EngineComparison
from usrn_keras.subclasses import SubclassMap, class_balance_rate
from usrn_keras.subclasses.compare_engines import ENGINES, EngineResult


@pytest.fixture
def comparison():
    """Road with two subclasses, car with three, an absent class and pole with one."""
    subclasses = SubclassMap(
        classes=("car", "road", "absent", "pole"),
        counts=np.array([3, 2, 0, 1]),
        sizes=np.array([10, 10, 10, 50, 50, 20]),
        centers=np.zeros((6, 4), np.float32),
        pixels=np.array([480, 1600, 0, 320]),
        feature_pixels=np.array([30, 100, 0, 20]),
        inertia=np.zeros(4),
        prices=np.zeros(6),
    )
    sizes = {"balanced_kmeans": (50, 50), "k_means_constrained": (50, 50), "k_means": (99, 1)}
    results = []
    for class_id, own in ((0, (10, 10, 10)), (1, None), (3, (20,))):
        results += [EngineResult(name, class_id, 0.25, 1.5, own or sizes[name]) for name in ENGINES]
    return EngineComparison(subclasses, results)


def test_rows_of_split_classes_and_totals(comparison):
    rows = comparison.class_rows()
    assert [row[0] for row in rows] == ["road"] * 3 + ["car"] * 3  # the most frequent first; pole has one
    assert rows[2] == ["road", "2", "k_means", "0.25", "1.5", "2.0", "1", "99"]
    totals = comparison.total_rows()
    assert [row[2] for row in totals] == list(ENGINES)
    assert totals[2][1:5] == ["6", "k_means", "0.75", "4.5"] and totals[2][6:] == ["1", "99"]


def test_rates_of_all_subclasses_are_in_label_pixels(comparison):
    found = comparison.to_json()
    equal, _, plain = found["engines"]
    assert equal["class_balance_rate"] == class_balance_rate([160, 160, 160, 800, 800, 320])
    assert plain["class_balance_rate"] == class_balance_rate([160, 160, 160, 1584, 16, 320])
    assert found["classes"][5] == {
        "class": "road", "engine": "k_means", "subclasses": 2, "seconds": 0.25, "within_squares": 1.5,
        "class_balance_rate": pytest.approx(0.02), "smallest": 1, "largest": 99,
    }  # fmt: skip
