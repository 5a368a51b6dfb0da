"""report/index.html of runs in any state."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import tomli_w
from click.testing import CliRunner

from tests.conftest import recipe_file as _recipe_file
from tests.evaluation.made_run import make_run
from tests.report.test_page import Reader
from usrn_cli.main import main
from usrn_keras.data import Sample, load_dataset
from usrn_keras.files import read_json, write_json
from usrn_keras.methods import stages_of
from usrn_keras.progress import SILENT
from usrn_keras.recipe import load_recipe
from usrn_keras.recipe.stage_plan import stages_to_json
from usrn_keras.runs import open_run
from usrn_keras.stages import evaluate_models, fit
from usrn_keras.stages.report import collect_summary, leave_report, worst_samples, write_report


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A run of a few steps, from its first to its last."""
    folder = tmp_path_factory.mktemp("fitted")
    recipe = load_recipe(
        str(_recipe_file.__wrapped__(folder)), ["evaluation.diagnosis=2", "evaluation.every=2"]
    )
    fit(recipe, folder / "run")
    return folder / "run"


@pytest.fixture
def run(fitted, tmp_path):
    return open_run(shutil.copytree(fitted, tmp_path / "run"))


def test_a_fit_leaves_its_page(fitted):
    read = Reader((fitted / "report/index.html").read_text())
    assert "mIoU Baseline" in read.all("p")[0][1]
    assert not [text for attributes, text in read.all("p") if attributes.get("class") == "note"]
    assert [text for _, text in read.all("h2")] == [
        "In short", "Scores", "Confusion matrix", "Pictures", "Losses", "Pseudo labels", "Class balance",
        "Seconds per step", "About this run",
    ]  # fmt: skip
    facts = dict(zip(*([text for _, text in read.all(tag)] for tag in ("dt", "dd")), strict=True))
    assert facts["data set"].startswith("data: 3 labelled, 2 unlabelled, 1 val, 0 test; 2 classes; lists ")
    assert facts["method"].startswith(
        "USRN: terms msl, ost, usr, sst, egm, threshold 0.75, lambda_u 1.0, lambda_sub 1.0, gate fallback"
    )
    assert re.match(r"Baseline \d+ s, ", facts["time"]) and re.search(r"USRN \d+ s$", facts["time"])
    assert "[training]" in read.all("pre")[-1][1]


def test_a_complete_run_has_everything(run):
    summary = collect_summary(run)
    assert summary.missing == {} and len(summary.scores) == 2
    assert [record["step"] for record in summary.pseudo_labels] == [0, 2, 4]
    assert [row.name for row in summary.images] == ["5"] and summary.measured == 1
    assert list(summary.images[0].predictions) == ["Baseline", "USRN"] and len(summary.images[0].mious) == 2
    assert summary.recipe_file == str(run.path / "recipe.toml") and summary.stages[-1].steps == 4
    assert len(summary.training["Baseline"]) == 6 and "val_miou" in summary.training["USRN"][-1]


def test_what_is_missing_is_said_and_why(run):
    for name in ("evaluation.json", "model.keras", "report/image_scores.csv"):
        (run.path / name).unlink()
    shutil.rmtree(run.path / "3-usrn")
    missing = collect_summary(run).missing
    assert missing["scores"].startswith(
        "The run has not been evaluated yet; complete: 1-baseline, 2-subclasses."
    )
    assert missing["pseudo_labels"] == "USRN has not been trained yet."
    assert "no usrn model yet" in missing["pictures"]
    assert write_report(run).exists()


def test_the_maps_that_evaluation_kept_are_those_that_the_models_predict(run):
    kept = collect_summary(run).images[0].predictions
    (run.path / "3-usrn/small_maps.npz").unlink()
    summary = collect_summary(run)
    for model, ids in summary.images[0].predictions.items():
        np.testing.assert_array_equal(ids, kept[model])
    assert "There are no more pictures" in summary.missing["images"]


def test_a_report_needs_no_model_where_maps_are_kept(run):
    (run.path / "model.keras").unlink()
    summary = collect_summary(run)
    assert "pictures" not in summary.missing and len(summary.images) == 1


def stop_in_method(path):
    """Remove what a run that is stopped in its last stage does not have."""
    for name in ("evaluation.json", "model.keras", "3-usrn/complete.json", "3-usrn/small_maps.npz"):
        (path / name).unlink()
    shutil.rmtree(path / "report")


@pytest.mark.parametrize("removed", [(), ("3-usrn",), ("3-usrn", "2-subclasses"), ("1-baseline",)])
def test_a_run_that_is_not_complete_is_reported_without_a_traceback(run, removed):
    stop_in_method(run.path)
    for name in removed:
        shutil.rmtree(run.path / name)
    done = CliRunner().invoke(main, ["report", str(run.path), "--json"])
    assert done.exit_code == 0, done.output
    read = Reader((run.path / "report/index.html").read_text())
    assert f"usrn fit {run.path}/recipe.toml --run {run.path}" in [text for _, text in read.all("code")]


def test_a_run_that_has_just_begun_is_reported(run):
    for path in list(run.path.iterdir()):
        if path.name not in ("recipe.toml", "dataset.json", "stages.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert write_report(open_run(run.path)).exists()


def test_a_run_of_an_older_version(run):
    (run.path / "3-usrn/diagnosis.jsonl").unlink()
    (run.path / "report/image_scores.csv").unlink()
    (run.path / "1-baseline/small_maps.npz").unlink()
    (run.path / "stages.json").unlink()
    values = run.recipe.model_dump()
    del values["usrn"]
    values["training"] |= {"terms": ["msl", "ost", "usr"], "gate": "off", "threshold": 0.75}
    (run.path / "recipe.toml").write_text(tomli_w.dumps(values))
    summary = collect_summary(open_run(run.path))
    assert list(summary.training) == ["Baseline", "USRN"] and len(summary.scores) == 2
    assert summary.clusters is not None and not summary.has_gate
    assert "an older version of usrn-keras" in summary.missing["pseudo_labels"]
    assert "There are no more pictures: " in summary.missing["images"]
    assert [row.name for row in summary.images] == ["5"]
    assert summary.recipe_file == ""  # its recipe cannot be trained again


def test_a_data_set_that_is_gone_costs_the_pictures_alone(run, recipe_file, tmp_path):
    shutil.rmtree(run.recipe.data.root)
    try:
        summary = collect_summary(run)
    finally:
        shutil.copytree(tmp_path / "data", run.recipe.data.root)
    assert summary.missing["pictures"].startswith("There are no pictures: ")
    assert len(summary.scores) == 2


def test_a_supervised_run(run):
    for name in ("2-subclasses", "3-usrn"):
        shutil.rmtree(run.path / name)
    recipe = load_recipe(str(run.path / "recipe.toml"), ["training.method=supervised"])
    (run.path / "recipe.toml").write_text(tomli_w.dumps(recipe.model_dump()))
    write_json(run.path / "stages.json", stages_to_json(stages_of(recipe)))
    results = read_json(run.evaluation_file)
    write_json(run.evaluation_file, results | {"scores": results["scores"][:1]})
    summary = collect_summary(open_run(run.path))
    assert summary.missing == {
        "clusters": "A run with training.method = 'supervised' has no subclasses.",
        "pseudo_labels": "A supervised run has no pseudo labels.",
    }
    assert [scores.name for scores in summary.scores] == list(summary.images[0].predictions) == ["Baseline"]


def test_what_cannot_be_drawn_costs_no_results(tmp_path, monkeypatch):
    make_run(tmp_path)
    run, lines = open_run(tmp_path / "run"), []

    def broken(*arguments, **options):
        raise ValueError("no ink")

    monkeypatch.setattr("usrn_keras.stages.report.run_page", broken)
    leave_report(run, None, None, lines.append)
    assert lines == [f"report/index.html could not be drawn: no ink. Draw it again: usrn report {run.path}"]
    assert not (run.path / "report/index.html").exists()


def test_the_worst_come_first_and_the_unmeasured_not_at_all():
    samples = [Sample(name, f"{name}.png") for name in "abcdefg"]
    mious = {"a": 0.5, "b": None, "c": 0.25, "d": 0.5, "e": 0.0, "f": 0.75}
    assert [sample.name for sample in worst_samples(samples, mious)] == ["e", "c", "a", "d"]


def test_scores_of_a_baseline_without_those_of_images_are_measured_again(run, monkeypatch):
    monkeypatch.setattr(evaluate_models, "leave_report", lambda *arguments: None)
    file = run.path / "1-baseline/scores.json"
    kept = read_json(file)
    write_json(file, {key: kept[key] for key in ("asked", "scores")})
    run.evaluation_file.unlink()
    evaluate_models.evaluate_models(run, load_dataset(run.recipe.data), SILENT)
    assert read_json(file) == kept
