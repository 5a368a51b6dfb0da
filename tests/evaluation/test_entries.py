"""Measuring a run folder: what its recipe says, and what is asked for instead."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.networks import red_dataset, red_reader
from usrn_keras.errors import DataError, RecipeError, RunError
from usrn_keras.evaluation import entries as module
from usrn_keras.evaluation import evaluate_run
from usrn_keras.methods.find import stages_of
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import start_run


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A run with last weights alone, measured on val with flips by its recipe."""
    dataset = red_dataset(tmp_path, [(40, 40), (20, 33)], 3)[0]
    recipe = load_recipe("quickstart", ["views.crop_size=32", "evaluation.flip=true", "evaluation.split=val"])
    with start_run(tmp_path / "run", recipe, dataset, stages_of(recipe)) as run:
        red_reader(3).save(run.path / "model.keras")
    monkeypatch.setattr(module, "load_dataset", lambda data: dataset)
    return run


def test_the_recipe_decides_unless_asked_otherwise(made):
    first = evaluate_run(made.path)
    assert first.scores.provenance.mode == "whole + flip" and first.scores.name == "usrn"
    assert [image.sample.name for image in first.images] == ["0", "1"]
    asked = {"mode": "slide", "flip": False, "scales": None, "overlap": 0.5}
    other = evaluate_run(made.path, inference=asked, boundary=False)
    assert other.scores.provenance.mode == "slide 32 overlap 0.5"
    assert first.scores.boundary is not None and other.scores.boundary is None
    np.testing.assert_array_equal(first.scores.confusion, other.scores.confusion)  # it sees one pixel


def test_what_is_not_there_is_named(made):
    with pytest.raises(RunError, match="has no best weights of its usrn model"):
        evaluate_run(made.path, checkpoint="best")
    with pytest.raises(RunError, match="has no baseline model yet"):
        evaluate_run(made.path, model="baseline")
    with pytest.raises(DataError, match="has no test images"):
        evaluate_run(made.path, split="test")
    with pytest.raises(RecipeError, match="options of prediction"):
        evaluate_run(made.path, inference={"scales": (-1.0,)})


def test_best_weights_say_so(made):
    (made.path / "best.json").write_text('{"step": 8, "val_miou": 0.5, "saved": true, "measured": 8}')
    (made.path / "model.keras").rename(made.path / "best.keras")
    assert evaluate_run(made.path, checkpoint="best").scores.provenance.checkpoint == "best (step 8)"


def test_scores_and_pictures_load_the_network_once(made, monkeypatch):
    loaded, load = [], module.load_segmenter
    monkeypatch.setattr(module, "load_segmenter", lambda path: loaded.append(path) or load(path))
    entry = module.RunEntry(made.path, "usrn", "mine")
    measured = entry.measure(SILENT)
    (ids, _) = entry.predict([image.sample for image in measured.images])
    assert ids.shape == (40, 40) and measured.scores.name == "mine"
    assert loaded == [made.path / "model.keras"]
