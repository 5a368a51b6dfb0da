"""The subclasses alone: what the stage writes, what is measured once, how it resumes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from usrn_keras.errors import RunError
from usrn_keras.recipe import Recipe, load_recipe
from usrn_keras.runs import open_run
from usrn_keras.stages import cluster, cluster_run, fit, subclasses

SUBCLASSES = "2-subclasses"


@pytest.fixture
def recipe(recipe_file) -> Recipe:
    return load_recipe(str(recipe_file))


def names(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_facts_figures_and_pictures(recipe, tmp_path):
    clustered = cluster_run(recipe, tmp_path / "run")
    facts = open_run(tmp_path / "run").facts(SUBCLASSES)
    made = clustered.report.subclasses
    assert facts["subclasses"] == made.total == sum(facts["counts"].values())
    assert facts["seconds"] == clustered.report.seconds > 0 and not facts["resumed"]
    rates = clustered.report.rates
    assert facts["class_balance_rate"] == {
        "classes": round(rates["original"], 4), "subclasses": round(rates["balanced"], 4),
    }  # fmt: skip
    assert clustered.report.plain.sum() == made.sizes.sum() == 3 * 10 * 12  # stride 4
    assert made.pixels.tolist() == [3 * (40 * 48 - 120), 3 * 120]
    assert {"class_sizes.png", "subclasses_road.png"} == names(tmp_path / "run/report")
    assert "features" not in names(tmp_path / "run" / SUBCLASSES)
    assert not {"3-usrn", "model.keras", "evaluation.json"} & names(tmp_path / "run")


def test_fit_resumes_from_there_and_cluster_shows_what_fit_made(recipe, tmp_path):
    cluster_run(recipe, tmp_path / "run", plain=False)
    centers = (tmp_path / "run" / SUBCLASSES / "centers.npy").read_bytes()
    lines = []
    results = fit(recipe, tmp_path / "run", log=lines.append)
    assert {"1-baseline: already complete", "2-subclasses: already complete"} <= set(lines)
    assert (tmp_path / "run" / SUBCLASSES / "centers.npy").read_bytes() == centers
    assert results["subclasses"] == cluster_run(recipe, tmp_path / "run").report.subclasses.total


def test_fit_itself_does_not_measure_plain(recipe, tmp_path):
    fit(recipe, tmp_path / "run")
    assert not {"plain.json", "features"} & names(tmp_path / "run" / SUBCLASSES)
    lines = []
    report = cluster_run(recipe, tmp_path / "run", log=lines.append).report
    assert any("extracted again" in line for line in lines)
    assert report.plain.shape == (report.subclasses.total,)


def test_plain_is_measured_once(recipe, tmp_path, monkeypatch):
    first = cluster_run(recipe, tmp_path / "run").report
    stored = json.loads((tmp_path / "run" / SUBCLASSES / "plain.json").read_text())
    assert stored["sizes"] == first.plain.tolist() and stored["seconds"] > 0
    monkeypatch.setattr(cluster, "plain_sizes", None)  # would raise
    again = cluster_run(recipe, tmp_path / "run").report
    np.testing.assert_array_equal(again.plain, first.plain)
    assert cluster_run(recipe, tmp_path / "run", plain=False).report.rates == first.rates


def test_an_interrupt_while_measuring_plain_keeps_the_features_for_the_next_call(
    recipe, tmp_path, monkeypatch
):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "plain_sizes", interrupted)
        with pytest.raises(KeyboardInterrupt, match="run the same command again to resume"):
            cluster_run(recipe, tmp_path / "run")
    folder = tmp_path / "run" / SUBCLASSES
    assert {"features", "complete.json"} <= names(folder) and "plain.json" not in names(folder)
    lines = []
    cluster_run(recipe, tmp_path / "run", log=lines.append)
    assert not any("extracted again" in line for line in lines)
    assert "plain.json" in names(folder) and "features" not in names(folder)


def test_a_stage_that_was_interrupted_is_known_to_be_resumed(recipe, tmp_path, monkeypatch):
    def interrupted(model, dataset, folder, *arguments, **options):
        (folder / "features").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cluster, "make_subclasses", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cluster_run(recipe, tmp_path / "run", plain=False)
    assert cluster_run(recipe, tmp_path / "run", plain=False).report.resumed


def test_subclasses_that_are_made_again_have_no_old_plain_sizes(recipe, tmp_path):
    cluster_run(recipe, tmp_path / "run")
    folder = tmp_path / "run" / SUBCLASSES
    (folder / "complete.json").unlink()
    assert cluster_run(recipe, tmp_path / "run", plain=False).report.plain is None


def test_free_assignment_measures_nothing_else(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "plain_sizes", None)
    free = load_recipe(str(recipe_file), ["subclasses.assignment=free"])
    report = cluster_run(free, tmp_path / "run").report
    assert report.rates["balanced"] is None
    np.testing.assert_array_equal(report.plain, report.subclasses.sizes)
    assert not {"plain.json", "features"} & names(tmp_path / "run" / SUBCLASSES)


def test_a_class_that_no_labelled_image_has_cannot_be_shown(recipe_file, recipe, tmp_path):
    (recipe_file.parent / "data/classes.txt").write_text("road\ncar\ntrain/tram\n")
    report = cluster_run(recipe, tmp_path / "run", plain=False).report
    assert report.class_rows()[-1][:2] == ["train/tram", "absent"]
    with pytest.raises(RunError, match=r"(?s)'train/tram' has no pixel.*subclasses: road, car"):
        cluster_run(recipe, tmp_path / "run", plain=False, montage="train/tram")


def test_a_class_name_becomes_a_file_name():
    assert subclasses._file_name("train/tram") == "train_tram"
    assert subclasses._file_name("sign symbol-2.b") == "sign_symbol-2.b"


def test_a_method_without_subclasses_has_nothing_to_cluster(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file), ["training.method=self_training"])
    with pytest.raises(RunError, match=r"training.method = 'self_training' has no subclasses") as error:
        cluster_run(recipe, tmp_path / "run")
    hint = error.value.hint
    assert "usrn" in hint and "prototype_ensemble" in hint and "supervised" not in hint
    assert not (tmp_path / "run/1-baseline").exists()
