"""The folder that is pushed, its model card, and a push to a Hub that is not there."""

from __future__ import annotations

import json
import sys
import tomllib
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from usrn_cli.main import main
from usrn_keras.errors import BackendError, ExportError, RunError
from usrn_keras.hub import hub_folder as module
from usrn_keras.hub import hub_push
from usrn_keras.hub.hub_folder import FILES, write_hub_folder
from usrn_keras.hub.hub_names import check_licence, check_repository
from usrn_keras.hub.hub_push import push_folder
from usrn_keras.metrics import Provenance, Scores
from usrn_keras.recipe import load_recipe

NAME, LICENCE = "ada/street-scenes", "cc-by-4.0"


@pytest.fixture
def run(tmp_path, recipe_file, monkeypatch):
    """A complete run that is not a folder: scores, classes and a model file of three bytes."""
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model.keras", "evaluation.json"):
        (folder / name).write_text("...")
    where = Provenance("street", "val", 12, "abc", "whole + flip", "last")
    confusion = np.array([[90, 10, 0], [60, 40, 0], [0, 0, 0]])
    scores = [
        Scores(name, ("road", "car|van", "pole"), confusion, provenance=where)
        for name in ("Baseline", "USRN")
    ]
    found = SimpleNamespace(
        path=folder,
        recipe=load_recipe(str(recipe_file), ["data.value_range=[100, 4000]"]),
        classes=("road", "car|van", "pole"),
        palette=np.arange(9).reshape(3, 3),
        data={"name": "street", "images": {"labelled": 3, "unlabelled": 2000, "val": 12, "test": 0}},
        model_path=folder / "model.keras",
        evaluation_file=folder / "evaluation.json",
        results={"run": str(folder), "backend": "torch", "scores": [one.to_json() for one in scores]},
        training_stages={"3-usrn": SimpleNamespace(title="USRN", steps=4000)},
    )
    monkeypatch.setattr(module, "open_run", lambda path: found)
    return found


def test_the_folder_has_model_recipe_scores_and_card(run, tmp_path):
    found = write_hub_folder(run.path, NAME, LICENCE, tmp_path / "hub")
    assert sorted(path.name for path in (tmp_path / "hub").iterdir()) == [*FILES] == list(found.files)
    assert found.files["model.keras"] == 3
    text = "".join((found.path / name).read_text() for name in FILES)
    assert str(tmp_path) not in text  # nothing tells about the machine
    recipe = tomllib.loads((found.path / "recipe.toml").read_text())
    assert recipe["data"]["root"] == "data" and recipe["training"]["usrn_steps"] == 4
    described = json.loads((found.path / "classes.json").read_text())
    assert described["classes"] == list(run.classes) and described["value_range"] == [100, 4000]
    write_hub_folder(run.path, NAME, "mit", tmp_path / "hub")  # replaces its own folder
    (tmp_path / "hub/notes.txt").write_text("mine")
    with pytest.raises(ExportError, match=r"other files and is not replaced: notes\.txt"):
        write_hub_folder(run.path, NAME, "mit", tmp_path / "hub")


def test_the_card_names_the_bands(run):
    assert "takes RGB in 0..255, `(batch, height, width, 3)`" in _card(run)
    run.recipe = load_recipe("quickstart", ['data.bands=["red=3", "green=2", "blue=1", "nir=4"]'])
    card = _card(run)
    assert "takes the bands red, green, blue, nir in 0..255, `(batch, height, width, 4)`" in card
    assert "segmenter.predict(image)" in card


def _card(run) -> str:
    return (write_hub_folder(run.path, NAME, LICENCE).path / "README.md").read_text()


def test_the_card_says_what_was_measured_and_its_limits(run):
    card = (write_hub_folder(run.path, NAME, LICENCE).path / "README.md").read_text()
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == LICENCE and header["library_name"] == "keras"
    (result,) = header["model-index"][0]["results"]
    assert result["dataset"]["name"] == "street" and result["metrics"][0]["value"] == 0.4631
    assert "3 labelled, 2,000 unlabelled, 12 val, 0 test" in card and "values 100 to 4000" in card
    assert "| IoU road | 56.2 | 56.2 |" in card and "| IoU car\\|van | 36.4 |" in card
    assert "| IoU pole | - | - |" in card and "no evaluated pixel has the class: pole" in card
    assert "12 val images of `street` (lists abc), prediction: whole + flip, weights: last" in card
    assert "USRN: 4,000 steps" in card and "Few images were measured (12)" in card
    assert f'hf_hub_download("{NAME}", "model.keras")' in card


def test_a_run_without_scores_has_no_card(run, tmp_path):
    run.evaluation_file.unlink()
    with pytest.raises(RunError, match=r"no scores for the model card\nComplete it: usrn fit"):
        write_hub_folder(run.path, NAME, LICENCE, tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    "name", ["scenes", "a/b/c", "ada/", "-a/b", "a/b--c", "a/b.git", "a/b c", "a/" + 97 * "b"]
)
def test_names_are_those_that_the_hub_takes(name):
    with pytest.raises(ExportError, match="is not the name of a repository"):
        check_repository(name)
    validate = pytest.importorskip("huggingface_hub.utils").validate_repo_id
    if "/" in name:  # the Hub takes a name without owner, too
        with pytest.raises(ValueError):
            validate(name)


@pytest.mark.parametrize("name", ["a/b", "Ada_1/x.y-z_2", "a/" + 96 * "b"])
def test_valid_names(name):
    check_repository(name)
    pytest.importorskip("huggingface_hub.utils").validate_repo_id(name)


def test_a_licence_is_an_identifier():
    check_licence("cc-by-nc-sa-4.0")
    with pytest.raises(ExportError, match="received 'CC BY'"):
        check_licence("CC BY")


def test_push_creates_the_repository_and_uploads_these_files(run, tmp_path, monkeypatch):
    calls = []

    class HfApi:
        def create_repo(self, name, *, private, exist_ok):
            calls.append((name, private, exist_ok))

        def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
            calls.append((repo_id, folder_path, allow_patterns))
            if len(calls) > 2:
                raise ConnectionError("no network\nat all")
            return "https://hub/commit/1"

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=HfApi))
    monkeypatch.setattr(hub_push, "find_spec", lambda name: name)
    folder = write_hub_folder(run.path, NAME, LICENCE, tmp_path / "hub")
    assert push_folder(folder) == "https://hub/commit/1"
    assert calls == [(NAME, True, True), (NAME, str(tmp_path / "hub"), list(FILES))]
    with pytest.raises(ExportError, match="was not pushed") as caught:
        push_folder(folder, private=False)
    assert caught.value.errors == ("ConnectionError: no network at all",) and calls[2] == (NAME, False, True)


def test_without_the_package_only_a_dry_run_writes(run, tmp_path, monkeypatch):
    monkeypatch.setattr(hub_push, "find_spec", lambda name: None)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    options = [str(run.path), NAME, "--license", LICENCE, "--out", str(tmp_path / "hub")]
    result = CliRunner().invoke(main, ["push", *options])
    assert result.exit_code == BackendError.exit_code and "pip install huggingface_hub" in result.stderr
    assert not (tmp_path / "hub").exists()
    result = CliRunner().invoke(main, ["push", *options, "--dry-run", "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["pushed"] is None and found["repository"] == NAME and set(found["files"]) == set(FILES)


def test_names_and_licence_are_checked_first(tmp_path):
    result = CliRunner().invoke(main, ["push", "nowhere", "scenes"])
    assert result.exit_code == ExportError.exit_code and "Example: ada/street-scenes" in result.stderr
    result = CliRunner().invoke(main, ["push", "nowhere", NAME])
    assert result.exit_code == 2 and "--license is missing" in result.stderr
