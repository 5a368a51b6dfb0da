from __future__ import annotations

import json

import numpy as np
import pytest

from tests.subclasses.made_dataset import Recorder
from usrn_keras.subclasses import Clustering, compare_engines
from usrn_keras.subclasses.class_clusters import cluster_rows
from usrn_keras.subclasses.compare_engines import ENGINES, complete_results, within_squares
from usrn_keras.subclasses.feature_store import FeatureStore

ROWS = np.random.default_rng(0).normal(size=(260, 4)).astype(np.float16)
COUNTS = np.array([6, 0, 1])


@pytest.fixture
def store(tmp_path):
    """Classes of 200, 0 and 60 rows."""
    store = FeatureStore(tmp_path / "features", channels=4, classes=3, key=0)
    store.append(["a"], [[ROWS[:200], ROWS[:0], ROWS[200:], ROWS[:0]]])
    return store


def test_every_engine_clusters_the_same_rows(store, tmp_path):
    progress, file = Recorder(), tmp_path / "engines.json"
    results = compare_engines.compare_engines(store, COUNTS, Clustering(), file, progress=progress)
    assert [(result.class_id, result.engine) for result in results] == [
        (class_id, name) for class_id in (0, 2) for name in ENGINES
    ]
    first = {result.engine: result for result in results if result.class_id == 0}
    for name, result in first.items():
        assert sum(result.sizes) == 200 and len(result.sizes) == 6 and result.seconds >= 0
        spread = max(result.sizes) - min(result.sizes)
        assert spread > 1 if name == "k_means" else spread <= 1
        wide = ROWS[:200].astype(float)
        labels = cluster_rows(ROWS[:200], 6, Clustering(**ENGINES[name])).labels
        own = (((wide[labels == k] - wide[labels == k].mean(axis=0)) ** 2).sum() for k in range(6))
        assert result.squares == pytest.approx(sum(own))
    squares = [result.squares for result in first.values()]
    assert max(squares) < 1.1 * min(squares)
    assert len({result.squares for result in results if result.class_id == 2}) == 1  # one cluster: its mean
    assert progress.totals["comparison"] == progress.tasks["comparison"][-1] == 3 * 260


def test_a_comparison_resumes_after_the_last_result(store, tmp_path, monkeypatch):
    file, done = tmp_path / "engines.json", []

    def counted(rows, count, options, **keywords):
        if len(rows) == 60 and options.algorithm == "free" and not done:
            raise KeyboardInterrupt
        if len(rows) >= 60:
            done.append((len(rows), options.algorithm))
        return cluster_rows(rows, count, options, **keywords)

    results = compare_engines.compare_engines(store, COUNTS, Clustering(), file)
    stored = json.loads(file.read_text())
    stored["results"] = stored["results"][:5]
    file.write_text(json.dumps(stored))
    assert complete_results(file, COUNTS, Clustering()) is None
    monkeypatch.setattr(compare_engines, "cluster_rows", counted)
    with pytest.raises(KeyboardInterrupt):
        compare_engines.compare_engines(store, COUNTS, Clustering(), file)
    done.append("started")
    again = compare_engines.compare_engines(store, COUNTS, Clustering(), file)
    assert done == ["started", (60, "free")]
    assert [result.sizes for result in again] == [result.sizes for result in results]
    assert complete_results(file, COUNTS, Clustering()) == again
    assert complete_results(file, COUNTS, Clustering(seed=1)) is None


def test_within_squares_over_blocks(monkeypatch):
    monkeypatch.setattr(compare_engines, "BLOCK", 7)
    rows, labels = ROWS[:50], np.arange(50) % 3
    wide = rows.astype(float) + 1000  # far from the origin
    expected = sum(((wide[labels == k] - wide[labels == k].mean(axis=0)) ** 2).sum() for k in range(3))
    assert within_squares(wide, labels, 4) == pytest.approx(expected)  # the last cluster is empty
    assert within_squares(ROWS[:0], labels[:0], 1) == 0
