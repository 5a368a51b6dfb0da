"""The real command on tiny data."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from PIL import Image

from usrn_cli.main import main
from usrn_keras.stages import cluster, preflight

RATES = "class balance rate: original "


def usrn_cluster(*args: object):
    return CliRunner().invoke(main, ["cluster", *map(str, args)])


@pytest.fixture
def run(recipe_file):
    """A run whose subclasses are complete, without plain k-means."""
    folder = recipe_file.parent / "run"
    result = usrn_cluster(recipe_file, "--run", folder, "--no-plain", "--quiet")
    assert result.exit_code == 0, result.stderr
    return folder


def test_table_rates_and_pictures_on_stdout_log_on_stderr(recipe_file, tmp_path):
    result = usrn_cluster(recipe_file, "--run", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout + result.stderr
    assert "…" not in result.stdout
    assert "5,400" in result.stdout  # labelled pixels of road: 3 masks of 40 x 48 less 120 of car
    rates = next(line for line in result.stdout.splitlines() if line.startswith(RATES))
    assert rates.index("original") < rates.index("plain k-means") < rates.index("balanced")
    assert "1-baseline 4/4" in result.stderr and "1-baseline" not in result.stdout
    assert re.search(r"time: \d+ s for features", result.stdout)
    for name in ("class_sizes", "subclasses_road"):
        path = tmp_path / f"run/report/{name}.png"
        assert f"picture: {path}" in result.stdout
        with Image.open(path) as picture:
            assert picture.format == "PNG" and picture.width > 500


def test_json_alone_on_stdout(recipe_file, tmp_path):
    result = usrn_cluster(recipe_file, "--run", tmp_path / "run", "--json", "--quiet")
    assert result.stderr == ""
    value = json.loads(result.stdout)
    road, car = value["classes"]
    assert (road["name"], road["pixels"], car["pixels"]) == ("road", 5400, 360)
    assert sum(road["sizes"]) == sum(road["plain_sizes"]) == road["feature_pixels"]
    assert len(road["sizes"]) == road["subclasses"] == 15
    assert max(road["sizes"]) - min(road["sizes"]) <= 1
    rates = value["class_balance_rate"]
    assert rates["original"] < rates["plain"] <= 1 and rates["original"] < rates["balanced"]
    assert value["seconds"] > 0
    assert set(value["pictures"]) == {"class_sizes", "montage"}


def test_a_run_is_shown_without_any_work(run):
    before = {path: path.stat().st_mtime_ns for stage in run.glob("[12]-*") for path in stage.rglob("*")}
    result = usrn_cluster(run, "--no-plain", "--montage", "car")
    assert result.exit_code == 0, result.stderr
    assert "2-subclasses: already complete" in result.stderr
    assert "not measured" in result.stdout
    assert (run / "report/subclasses_car.png").exists()
    after = {path: path.stat().st_mtime_ns for stage in run.glob("[12]-*") for path in stage.rglob("*")}
    assert after == before


def test_plain_is_measured_later_for_a_run(run):
    result = usrn_cluster(run)
    assert result.exit_code == 0, result.stderr
    assert "features are extracted again" in result.stderr
    assert "plain k-means" in result.stdout and "not measured" not in result.stdout
    assert "extracted again" not in usrn_cluster(run).stderr


def test_engines_are_compared_once(run, monkeypatch):
    result = usrn_cluster(run, "--no-plain", "--compare", "--json")
    assert result.exit_code == 0, result.stderr
    assert "features are extracted again" in result.stderr
    engines = json.loads(result.stdout)["comparison"]["engines"]
    assert [engine["engine"] for engine in engines] == ["balanced_kmeans", "k_means_constrained", "k_means"]
    assert not (run / "2-subclasses/features").exists()
    monkeypatch.setattr(cluster, "compare_engines", None)  # would raise
    result = usrn_cluster(run, "--no-plain", "--compare", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert re.search("all .*k_means_constrained ", result.stdout) and "WCSS: " in result.stdout


def test_a_missing_package_is_reported_before_any_work(recipe_file, tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "find_spec", lambda name: None)
    engine = "subclasses.engine=k_means_constrained"
    for arguments in (["--compare"], ["--set", engine]):
        result = usrn_cluster(recipe_file, "--run", tmp_path / "run", *arguments)
        assert result.exit_code == 7 and "pip install k-means-constrained" in result.stderr
    assert not (tmp_path / "run/1-baseline").exists()


def test_free_assignment_is_shown_as_plain(recipe_file, tmp_path):
    result = usrn_cluster(
        recipe_file, "--run", tmp_path / "run", "--set", "subclasses.assignment=free", "--quiet"
    )
    assert result.exit_code == 0, result.stderr
    rates = next(line for line in result.stdout.splitlines() if line.startswith(RATES))
    assert "plain k-means" in rates and "-> balanced" not in rates


@pytest.mark.parametrize("source", ["recipe", "run"])
def test_an_unknown_class_is_refused_before_any_work(recipe_file, request, source):
    argument = recipe_file if source == "recipe" else request.getfixturevalue("run")
    options = ["--run", recipe_file.parent / "new"] if source == "recipe" else []
    result = usrn_cluster(argument, *options, "--montage", "rood")
    assert result.exit_code == 2
    assert "no class 'rood'; did you mean 'road'?" in result.stderr
    assert not (recipe_file.parent / "new").exists()
    assert "allowed: road, car" in usrn_cluster(argument, *options, "--montage", "zzz").stderr


@pytest.mark.parametrize("option", [["--set", "training.seed=1"], ["--run", "elsewhere"]])
def test_recipe_options_do_not_go_with_a_run(run, option):
    result = usrn_cluster(run, *option)
    assert result.exit_code == 2
    assert f"{option[0]} is allowed only with" in result.stderr
    assert "recipe.toml" in result.stderr


def test_a_folder_that_is_no_run(run, tmp_path):
    result = usrn_cluster(tmp_path)
    assert result.exit_code == 6
    assert "is not a run folder" in result.stderr and str(run) in result.stderr


def test_neither_run_nor_recipe():
    result = usrn_cluster("quickstrat")
    assert result.exit_code == 3
    assert "Did you mean `quickstart`?" in result.stderr
    assert usrn_cluster("recipes/quickstrat.toml").exit_code == 3
    result = usrn_cluster("runs/quickstrat")
    assert result.exit_code == 6
    assert "runs/quickstrat is not a run folder: it does not exist" in result.stderr


def test_a_folder_of_the_name_of_a_shipped_recipe_is_no_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    result = usrn_cluster("quickstart", "--set", "training.usrn_steps=no")
    assert result.exit_code == 3  # it was read as the recipe
    assert "training.usrn_steps" in result.stderr


@pytest.mark.parametrize("source", ["recipes/quickstart", "recipes/quickstart.toml"])
def test_the_path_of_a_shipped_recipe_is_no_run(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    result = usrn_cluster(source, "--set", "training.usrn_steps=no")
    assert result.exit_code == 3  # it was read as the recipe
    assert "training.usrn_steps" in result.stderr


def test_another_recipe_in_the_same_folder(recipe_file, run):
    result = usrn_cluster(recipe_file, "--run", run, "--set", "training.seed=5")
    assert result.exit_code == 6
    assert "training.seed: the run has 0, the recipe 5" in result.stderr


def test_an_interrupt_is_one_line_and_the_same_command_goes_on(recipe_file, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt  # what SIGINT becomes, unless it is ignored, as in background jobs

    command = [recipe_file, "--run", tmp_path / "run", "--no-plain", "--quiet"]
    with monkeypatch.context() as patch:
        patch.setattr(cluster, "make_subclasses", interrupted)
        result = usrn_cluster(*command)
    assert result.exit_code == 130
    assert result.stderr == "interrupted; run the same command again to resume\n"
    result = usrn_cluster(*command[:-1])
    assert result.exit_code == 0
    assert "1-baseline: already complete" in result.stderr
