"""Prediction, evaluation and features by two worker processes, one of them killed, equal those of one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made_run import make_run, write
from usrn_keras.chunks import open_pool
from usrn_keras.evaluation import evaluate_run
from usrn_keras.evaluation.predict import predict_files
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe
from usrn_keras.stages import cluster_run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def pool():
    with open_pool(workers=2) as found:
        yield found


class Killer:
    """Progress that kills one worker after the first chunk."""

    def __init__(self, pool):
        self.pool, self.killed = pool, False

    def task(self, description, total, done=0):
        return SILENT.task(description, total, done) if self.killed else self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def advance(self, n=1, /, **numbers):
        if not self.killed:
            self.killed = True
            os.kill(min(self.pool._client.run(os.getpid).values()), signal.SIGKILL)

    def log(self, line):
        pass


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_predictions_and_scores(pool, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_run(tmp_path)
    rng = np.random.default_rng(0)
    for number in range(9):
        write(tmp_path / f"photos/{number}.png", rng.integers(0, 3, (20 + number, 24, 3)))
    (tmp_path / "photos/broken.png").write_bytes(b"no image")
    for name, options in {"one": {}, "two": {"pool": pool, "progress": Killer(pool)}}.items():
        with pytest.raises(Exception, match=r"broken\.png"):
            predict_files(
                tmp_path / "run", [tmp_path / "photos"], tmp_path / name, confidence=True, **options
            )
    one = contents(tmp_path / "one")
    assert len(one) == 27 and one == contents(tmp_path / "two")

    alone, shared = evaluate_run(tmp_path / "run"), evaluate_run(tmp_path / "run", pool=pool)
    np.testing.assert_array_equal(shared.scores.confusion, alone.scores.confusion)
    np.testing.assert_array_equal(shared.scores.boundary, alone.scores.boundary)
    assert shared.images == alone.images and shared.scores.provenance == alone.scores.provenance
    assert list((tmp_path / "cache/usrn-keras/chunks").iterdir()) == []


def test_features_and_subclasses(pool, recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file))
    for name, options in {"one": {}, "two": {"pool": pool}}.items():
        cluster_run(recipe, tmp_path / name, plain=False, **options)
    one, two = (contents(tmp_path / name / "2-subclasses") for name in ("one", "two"))
    times = one.pop("complete.json"), two.pop("complete.json")
    assert all(times) and one == two
