from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from usrn_keras.data import load_dataset
from usrn_keras.data.batches.build import build_batches
from usrn_keras.doctor.known_rate import KnownRate, known_rate
from usrn_keras.doctor.pipeline import PipelineSection
from usrn_keras.doctor.timed_batches import made_batches, recipe_batches, time_batches
from usrn_keras.recipe import Recipe

OWN = PipelineSection("x", 400, 2.0, (8, 8), workers=2, usable_cores=4, has_recipe=True)


def names(section):
    return [finding.name for finding in section.findings()]


def test_made_images_are_read_and_removed():
    with made_batches(workers=1) as batches:
        folder = batches.labelled[0].image.parent
        images, seconds = time_batches(batches, seconds=0.01)
        assert batches.batch(0)["labelled"].shape == (4, 320, 320, 3)
    assert images == 16 and seconds > 0  # two batches at least
    assert not folder.exists()


def test_the_views_are_those_of_training(recipe_file):
    """But for what the device adds, and without a backend."""
    recipe = Recipe.load(str(recipe_file), ["views.scale_unlabelled=[0.9, 1.1]", "training.seed=3"])
    dataset = load_dataset(recipe.data)
    ours = recipe_batches(recipe, dataset).batch(5)
    theirs = build_batches(recipe, dataset, unlabelled=True).batch(5)
    assert set(theirs) - set(ours) == {"strong_parameters"}
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key])


def test_lines():
    assert OWN.lines() == [
        "200 images/s with 2 workers (x): feeds a step of 8 + 8 images every 0.08 s",
    ]
    known = replace(OWN, workers=1, known=KnownRate("runs/a", "3-usrn", 31.42))
    assert "with 1 worker (x)" in known.lines()[0]
    assert known.lines()[1] == "training takes 31.4 images/s (runs/a, 3-usrn)"


@pytest.mark.parametrize(("workers", "advice"), [(2, "--set data.workers=4"), (4, "keep the image files")])
def test_a_pipeline_that_training_waits_for(workers, advice):
    section = replace(OWN, workers=workers, known=KnownRate("runs/a", "3-usrn", 180.0))
    (finding,) = section.findings()
    assert finding.name == "slow_pipeline" and finding.advice.startswith(advice)
    assert "200 images/s are read, training took 180 in runs/a" in finding.message


def test_one_that_is_fast_enough():
    assert names(replace(OWN, known=KnownRate("runs/a", "3-usrn", 100.0))) == []
    assert names(OWN) == []


def test_cores_that_idle_beside_a_gpu():
    (finding,) = replace(OWN, on_gpu=True, usable_cores=32).findings()
    assert finding.name == "few_workers" and finding.advice == "--set data.workers=8"
    assert names(replace(OWN, on_gpu=True, usable_cores=2)) == []


def test_too_many_workers():
    (finding,) = replace(OWN, workers=32).findings()
    assert finding.name == "many_workers" and finding.advice == "--set data.workers=4"


def test_made_images_say_nothing_of_a_recipe():
    assert names(replace(OWN, workers=32, has_recipe=False)) == []


def test_the_pace_of_an_earlier_run(tmp_path):
    assert known_rate(tmp_path) is None
    rows = [
        '{"stage": "1-baseline", "step": 1, "images_per_second": 7.0}',
        '{"stage": "3-usrn", "step": 1, "images_per_second": 0.1}',
        '{"stage": "3-usrn", "step": 20, "images_per_second": 30.0}',
        '{"stage": "3-usrn", "step": 40, "images_per_second": 32.0}',
        '{"stage": "3-usrn", "step": 40, "miou": 0.5}',
        '{"stage": "3-usrn", "st',
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows))
    assert known_rate(tmp_path) == KnownRate(str(tmp_path), "3-usrn", 31.0)
    (tmp_path / "metrics.jsonl").write_text("\n".join(rows[:2]))
    assert known_rate(tmp_path) is None  # so far it has compiled
