"""evaluation.json: what it reports, and when it is written again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.evaluation.networks import red_dataset, red_reader
from usrn_keras.errors import DataError, RunError
from usrn_keras.methods import stages_of
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe
from usrn_keras.runs import open_run, start_run
from usrn_keras.stages.evaluate_models import evaluate_models


@pytest.fixture
def dataset(tmp_path):
    return red_dataset(tmp_path, [(40, 40), (20, 33)], 3)[0]


@pytest.fixture
def measured(tmp_path, dataset):
    """`measured("evaluation.flip=true")`: evaluation.json of a run that is complete, with that recipe."""
    folder = tmp_path / "run"

    def make(*overrides: str) -> dict:
        recipe = load_recipe("quickstart", ["views.crop_size=32", "evaluation.split=val", *overrides])
        with start_run(folder, recipe, dataset, stages_of(recipe)) as run:
            run.complete("2-subclasses", class_balance_rate={}, subclasses=5)
            for file in (run.path / "model.keras", run.stage("1-baseline") / "model.keras"):
                if not file.exists():
                    file.parent.mkdir(exist_ok=True)
                    red_reader(3).save(file)
            return evaluate_models(run, dataset, SILENT)

    make.folder = folder
    return make


def test_what_it_reports(measured, dataset):
    results = measured()
    assert json.loads((measured.folder / "evaluation.json").read_text()) == results
    reported = {
        key: results[key] for key in ("dataset", "split", "images", "fingerprint", "checkpoint", "mode")
    }
    assert reported == {
        "dataset": "reds", "split": "val", "images": 2, "fingerprint": dataset.fingerprint(),
        "checkpoint": "last", "mode": "whole",
    }  # fmt: skip
    assert (results["flip"], results["scales"]) == (False, [1.0]) and "window" not in results
    assert [scores["provenance"]["mode"] for scores in results["scores"]] == ["whole", "whole"]
    assert (measured.folder / "report/comparison.png").exists()


@pytest.mark.parametrize(
    ("override", "mode"),
    [("evaluation.mode=slide", "slide 32 overlap 0.33"), ("evaluation.flip=true", "whole + flip"),
     ("evaluation.scales=[0.5, 1.0]", "whole + scales 0.5/1")],
)  # fmt: skip
def test_written_again_where_images_are_predicted_differently(measured, override, mode):
    first, file = measured(), measured.folder / "evaluation.json"
    before = file.stat().st_mtime_ns
    assert measured("evaluation.overlap=0.5") == first  # whole images do not overlap
    assert file.stat().st_mtime_ns == before
    again = measured(override)
    assert [scores["provenance"]["mode"] for scores in again["scores"]] == [mode, mode]
    np.testing.assert_array_equal(
        np.sum(again["scores"][0]["confusion"]), np.sum(first["scores"][0]["confusion"])
    )


def test_best_weights(measured):
    measured()
    best = ["evaluation.every=2", "evaluation.checkpoint=best"]
    with pytest.raises(RunError, match=r"has no best weights of its baseline model, because it was trained"):
        measured(*best)
    for folder in (measured.folder, measured.folder / "1-baseline"):
        (folder / "best.json").write_text('{"step": 6, "val_miou": 0.5, "saved": true, "measured": 6}')
        red_reader(3).save(folder / "best.keras")
    results = measured(*best)
    assert results["checkpoint"] == "best"
    assert results["scores"][0]["provenance"]["checkpoint"] == "best (step 6)"
    run = open_run(measured.folder)
    assert run.model_path.name == "best.keras"


def test_a_split_without_images(measured):
    with pytest.raises(DataError, match="no test images"):
        measured("evaluation.split=test")
